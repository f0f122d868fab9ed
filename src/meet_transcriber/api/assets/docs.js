// Renders the API reference from openapi.json.

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function resolved(spec, schema) {
  if (!schema?.$ref) return schema ?? {};
  return spec.components.schemas[schema.$ref.split("/").pop()] ?? {};
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map(typeOf).join(" | ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  return [schema.type ?? "any"].flat().join(" | ");
}

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", {}, text)));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

function fields(spec, schema) {
  const whole = resolved(spec, schema);
  const rows = Object.entries(whole.properties ?? {}).map(([name, field]) => [
    element("code", {}, name), typeOf(field), field.description ?? "",
  ]);
  return rows.length ? [table(["name", "type", "meaning"], rows)] : [];
}

function command(path, method, operation) {
  const url = `${location.origin}${path}`;
  const verb = method === "get" ? "" : method === "head" ? " -I" : ` -X ${method.toUpperCase()}`;
  const kinds = operation.requestBody?.content ?? {};
  if (kinds["multipart/form-data"]) return `curl -F file=@meeting.mp3 -F language=en ${url}`;
  const json = kinds["application/json"] ? " -H 'Content-Type: application/json' -d '{}'" : "";
  return `curl${verb}${json} '${url}'`;
}

function responses(spec, operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => [
    element("code", {}, status), response.description,
    Object.entries(response.content ?? {}).map(([kind, { schema }]) => `${kind}: ${typeOf(schema ?? {})}`).join("; "),
  ]);
  return table(["status", "meaning", "body"], rows);
}

function article(spec, path, method, operation) {
  const title = element("h2", {}, element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path));
  const node = element("article", { id: operation.operationId }, title, element("p", {}, operation.summary ?? ""));
  if (operation.description) node.append(element("p", {}, operation.description));
  node.append(element("pre", {}, command(path, method, operation)));
  const parameters = (operation.parameters ?? []).map((each) => [
    element("code", {}, each.name), each.in, typeOf(each.schema ?? {}), each.description ?? "",
  ]);
  if (parameters.length) node.append(element("h3", {}, "Parameters"), table(["name", "in", "type", "meaning"], parameters));
  for (const [kind, { schema }] of Object.entries(operation.requestBody?.content ?? {}))
    node.append(element("h3", {}, `Body, ${kind}`), ...fields(spec, schema));
  node.append(element("h3", {}, "Responses"), responses(spec, operation));
  return node;
}

function schemas(spec) {
  return Object.entries(spec.components?.schemas ?? {}).map(([name, schema]) =>
    element("article", { id: `schema-${name}` }, element("h2", {}, name),
      element("p", {}, schema.description ?? ""), ...fields(spec, schema)));
}

async function show() {
  const main = document.querySelector("main");
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json cannot be loaded: ${response.status}.`);
  const spec = await response.json();
  const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [path, method, operation]));
  const items = operations.map(([path, method, operation]) => element("li", {},
    element("a", { href: `#${operation.operationId}` },
      element("span", { class: "method" }, method.toUpperCase()), path)));
  document.querySelector("nav").replaceChildren(element("ul", {}, ...items));
  main.replaceChildren(...operations.map((each) => article(spec, ...each)), ...schemas(spec));
}

show().catch((error) => {
  document.querySelector("main").replaceChildren(element("p", { role: "alert" }, error.message));
});
