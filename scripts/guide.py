"""The promises of the deployment guide, and where docs/guide-map.md locates them.

`python -m scripts.guide` prints the terms that have no row yet, as rows to fill in.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide" / "deployment-guide.md"
MAP = ROOT / "docs" / "guide-map.md"

NOT_YET = "not yet"
_LONGEST_TERM = 100

_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<< '(\w+)'\n.*?^\1$", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"'(?:\{|#!)[^']*'")

# Kind of term -> what finds it in the whole guide; group 1 is the term.
_PATTERNS = {
    "Variables": r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b|(?<=\$)([A-Z]+)\b",
    "Ports": r"(?:[Pp]ort\"?:? |tcp:|localhost:|redis:|endpoint:|listen |- \"|--ports )(\d{2,5})\b",
    "Files": r"(?<![\w$/.-])(\.?/?(?:[\w.-]+/)*[\w-]*\.(?:yaml|yml|json|env|list|pem|config))\b",
    "Paths": r"(?<=[\s\"'=>0])(/(?!\d)[\w.-]+(?:/[\w.-]+)*)(?=[\s\"'.;]|$)",
    "Addresses": r"(https?://[^\s)|\"'`;]+|huggingface\.co/[\w./-]+)",
    "Proxy": r"^ +((?:client_|proxy_|server_name|listen )[^;\n]*);",
    "Images": r"(?:image\"?: \"?|-t |--tag |--image |--gpus all )([\w<>.-]+(?:[/:][\w.:/-]+)?)",
    "Objects": r"(?:--(?:cluster-name|launch-template-name|repository-name|cluster|log-group"
    r"|resource-group|name|secret-id|target-tags|tags)[= ]|\"family\": \"|group\": \""
    r"|prefix\": \"|\bname: |Value=|secret:|secrets create |binding |role/|deployment/"
    r"|node-pools create |clusters create |rules create |instances create |run deploy |log_group=\""
    r"|_total', ')([a-z][\w./-]*[\w])",
    "Metrics": r"'(transcription_\w+)'|name: (celery_\w+)",
    "Code": r"^(?:from|async def) .*$|^import (?!boto3).*$|@app.*$",
}


class Row(NamedTuple):
    """A row of the map: a term of the guide, where it is here, the test behind it."""

    section: str
    term: str
    here: str
    test: str


def terms(guide: str) -> dict[str, list[str]]:
    """Kind of promise -> every promise of that kind, in the guide's order, each once."""
    blocks = [(kind, body) for kind, body in _BLOCK.findall(guide)]
    code = "\n".join(body for _, body in blocks)
    found = {"Commands": [c for kind, body in blocks if kind == "bash" for c in commands(body)]}
    for kind, pattern in _PATTERNS.items():
        text = guide if kind in {"Variables", "Addresses"} else code
        matches = re.finditer(pattern, text, re.MULTILINE)
        found[kind] = [next(filter(None, match.groups()), match.group()) for match in matches]
    prose = _BLOCK.sub("", guide)
    found["Named in the text"] = re.findall(r"`([^`\n]+)`", prose)
    found["Checklist"] = re.findall(r"^- \[ \] (.+)$", prose, re.MULTILINE)
    found["Tables"] = re.findall(r"^\| (.+) \|$", prose, re.MULTILINE)
    found["Options"] = re.findall(r"^### (.+)$", prose, re.MULTILINE)
    return {kind: list(dict.fromkeys(map(_short, each))) for kind, each in found.items()}


def commands(block: str) -> list[str]:
    """The commands of a shell block, one line each; a heredoc's body is left out."""
    text = _HEREDOC.sub("<< EOF", block)
    text = re.sub(r"\\ *#[^\n]*\n", "\\\\\n", text)
    text = re.sub(r"\\\n", " ", text)
    text = _QUOTED.sub(lambda match: " ".join(match.group().split()), text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _short(term: str) -> str:
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", term.replace("`", ""))
    return plain if len(plain) <= _LONGEST_TERM else plain[:_LONGEST_TERM].rstrip() + " ..."


def rows(text: str) -> Iterator[Row]:
    """The rows of the map; the guide's `|` is written `\\|` in it."""
    section = ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            yield Row(section, cells[0].strip("`").replace("\\|", "|"), cells[1], cells[2])


def functions_of(path: Path) -> set[str]:
    """The functions of a Python file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def missing(guide: str, mapped: str) -> Iterator[tuple[str, str]]:
    """(kind, term) of every promise that has no row."""
    known = {(row.section, row.term) for row in rows(mapped)}
    for kind, each in terms(guide).items():
        yield from ((kind, term) for term in each if (kind, term) not in known)


def main() -> None:
    """Print empty rows for what is missing."""
    mapped = MAP.read_text(encoding="utf-8") if MAP.exists() else ""
    last = ""
    for kind, term in missing(GUIDE.read_text(encoding="utf-8"), mapped):
        if kind != last:
            print(f"\n## {kind}\n\n| The guide | Here | Test |\n|---|---|---|")
            last = kind
        print(f"| `{term.replace('|', chr(92) + '|')}` | {NOT_YET} | {NOT_YET} |")


if __name__ == "__main__":
    main()
