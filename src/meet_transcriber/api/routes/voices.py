"""Routes about people who are known by their voices."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ReaderService, ToSubmit, ToTranscribe, author_of
from meet_transcriber.api.forms import receive
from meet_transcriber.api.http import (
    JobId,
    JsonBody,
    attachment,
    json_body,
    settings_of,
    validate,
)
from meet_transcriber.api.openapi import answer_in, problems, ref, request_body, response
from meet_transcriber.api.schemas import VoiceClip, VoiceMerge, VoiceName, VoiceRequest
from meet_transcriber.api.thread_limits import run_limited
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.voices import Consent, Person, Sample, checked_consent, checked_person
from meet_transcriber.service import Service
from meet_transcriber.service import SubmissionRequest as JobRequest
from meet_transcriber.service.voices import Speaker, sealer_of

router = APIRouter(tags=["voices"], default_response_class=Response)

VoiceId = Annotated[str, Path(description="The person's id.")]

_FORM, _JSON = "multipart/form-data", "application/json"
_VOICE = response(200, "The person as they are known now.", "Voice")


@router.get(
    "/voices",
    operation_id="listVoices",
    summary="List voice profiles",
    responses={**response(200, "Everybody, in order of creation.", "VoiceList"), **problems(409)},
)
def list_voices(service: ReaderService) -> Response:
    """The people of this tenant; nobody else's."""
    return _json({"object": "list", "data": [*map(_shown, service.voices.people())]})


@router.post(
    "/voices",
    operation_id="rememberVoice",
    summary="Add a voice profile or a sample",
    status_code=201,
    responses={
        **response(201, "The person is remembered.", "Voice", ("Location",)),
        **response(202, "The clip was taken in; its job remembers the person.", "Accepted"),
        **problems(400, 404, 408, 409, 413, 415, 422, 507),
    },
    openapi_extra=request_body(VoiceRequest, others={_FORM: VoiceClip}),
)
async def remember(request: Request, service: ToSubmit) -> Response:
    """
    Remember a speaker of a finished meeting, or the one person in a clip of some seconds.

    A name that is known gets one more sample of the voice. A clip becomes an ordinary job, whose
    warnings say whether it was of use; it is deleted with the person, who is listed at once and
    has no sample until the job is done.
    """
    sealer_of(service.context)
    if request.headers.get("content-type", "").startswith(_FORM):
        return await _from_clip(request, service)
    body = await JsonBody(VoiceRequest)(request)
    name, consent = checked_person(body.name), _consent(request, body.consent)
    remember = service.voices.remember
    person = await run_in_threadpool(remember, body.job_id, body.speaker, name, consent)
    request.state.target = person.id
    headers = {"Location": f"/voices/{person.id}", "Cache-Control": "no-store"}
    return Response(serializers.dumped(_shown(person)), 201, headers, _JSON)


async def _from_clip(request: Request, service: Service) -> Response:
    if settings_of(request).diarization_engine == "none":
        raise InvalidOptions("No voices are heard on this server (DIARIZATION_ENGINE=none).")
    async with await receive(request, service) as received:
        body = validate(VoiceClip, {"file": "", **dict(received.fields)})
        name, consent = checked_person(body.name), _consent(request, body.consent)
        upload = received.upload

        def submit(extras: Mapping[str, bytes]) -> Job:
            return upload.finish(JobRequest(Options(num_speakers=1, channels="mix"), extras=extras))

        job: Job = await run_limited(
            request, service.voices.submit_clip, upload.job_id, name, consent, submit
        )
    request.state.job = job
    wait = await run_in_threadpool(service.queries.wait, job)
    headers = {
        "Location": serializers.path_of(job.id),
        "Retry-After": str(serializers.RETRY_PENDING_SECONDS),
    }
    return Response(serializers.dumped(serializers.accepted(job, wait)), 202, headers, _JSON)


def _consent(request: Request, said: object) -> Consent:
    return Consent(time.time(), author_of(request), checked_consent(said))


@router.get(
    "/voices/{voice_id}",
    operation_id="getVoice",
    summary="Get a voice profile",
    responses={**_VOICE, **problems(404, 409)},
)
def get_voice(service: ReaderService, voice_id: VoiceId) -> Response:
    """Who it is, and what the voice is known from."""
    return _json(_shown(service.voices.person(voice_id)))


@router.patch(
    "/voices/{voice_id}",
    operation_id="renameVoice",
    summary="Rename a voice profile",
    responses={**_VOICE, **problems(400, 404, 409, 413, 422)},
    openapi_extra=request_body(VoiceName),
)
async def rename(
    service: ToSubmit, voice_id: VoiceId, body: Annotated[VoiceName, json_body(VoiceName)]
) -> Response:
    """The name that meetings get from now on; those that are finished keep theirs."""
    name = checked_person(body.name)
    return _json(_shown(await run_in_threadpool(service.voices.rename, voice_id, name)))


@router.post(
    "/voices/{voice_id}/merge",
    operation_id="mergeVoices",
    summary="Merge two voice profiles",
    responses={**_VOICE, **problems(400, 404, 409, 413, 422)},
    openapi_extra=request_body(VoiceMerge),
)
async def merge(
    request: Request,
    service: ToSubmit,
    voice_id: VoiceId,
    body: Annotated[VoiceMerge, json_body(VoiceMerge)],
) -> Response:
    """All samples and clips of the other one go to this one; the other one is deleted."""
    person = await run_in_threadpool(service.voices.merge, voice_id, body.voice_id)
    request.state.target = f"{body.voice_id} into {person.id}"
    return _json(_shown(person))


@router.delete(
    "/voices/{voice_id}",
    operation_id="forgetVoice",
    summary="Delete a voice profile",
    status_code=204,
    responses={**response(204, "It is gone."), **problems(404, 409)},
)
def forget(service: ToSubmit, voice_id: VoiceId) -> Response:
    """
    Delete all that is known of the voice, and the clips that were sent for it; names in
    transcripts stay as they are.
    """
    service.voices.delete(voice_id)
    return Response(status_code=204)


@router.get(
    "/voices/{voice_id}/export",
    operation_id="exportVoice",
    summary="Export a voice profile",
    responses={
        **answer_in(200, "As a file.", {_JSON: ref("Voice")}, "Content-Disposition"),
        **problems(404, 409, 422),
    },
)
def export_voice(
    service: ToTranscribe,
    voice_id: VoiceId,
    embeddings: Annotated[
        bool, Query(description="Whether the embeddings, which are the voice itself, come along.")
    ] = False,
) -> Response:
    """What a person may ask for who wants to know what is kept of them."""
    body = _shown(service.voices.person(voice_id), embeddings=embeddings)
    headers = {"Content-Disposition": attachment(f"voice-{voice_id}", "json")}
    return _json(body, headers)


@router.get(
    "/transcribe/{job_id}/speakers",
    operation_id="listSpeakers",
    summary="Who speaks, and whom they sound like",
    responses={
        **response(200, "The speakers in order of first speech.", "Speakers"),
        **problems(404, 409),
    },
)
def list_speakers(service: ReaderService, job_id: JobId) -> Response:
    """
    Each speaker's name and seconds; where voices are kept, who of the remembered they sound most
    like, as of now. `perhaps` names nobody: it is for people to confirm.
    """
    rows = [_speaker(each) for each in service.voices.speakers(job_id)]
    return _json({"object": "list", "voice_profiles": service.voices.kept, "data": rows})


def _speaker(speaker: Speaker) -> dict[str, Any]:
    match = speaker.match
    return {
        "speaker": speaker.label,
        "name": speaker.name,
        "seconds": round(speaker.seconds, 3),
        "voice_id": match and match.person,
        "voice_name": match and match.name,
        "similarity": match and round(match.similarity, 4),
        "certainty": match and match.certainty,
        "rememberable": speaker.rememberable,
    }


def _shown(person: Person, embeddings: bool = False) -> dict[str, Any]:
    return {
        "id": person.id,
        "object": "voice",
        "name": person.name,
        "created_at": serializers.moment(person.created_at),
        "samples": [_sample(each, embeddings) for each in person.samples],
    }


def _sample(sample: Sample, embeddings: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "job_id": sample.job,
        "speaker": sample.speaker,
        "clip": sample.clip,
        "seconds": round(sample.voice.seconds, 3),
        "model": sample.voice.model,
        "consent": {
            "at": serializers.moment(sample.consent.at),
            "by": sample.consent.by,
            "note": sample.consent.note,
        },
    }
    return {**body, "embedding": list(sample.voice.vector)} if embeddings else body


def _json(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(
        serializers.dumped(body), 200, {"Cache-Control": "no-store", **(headers or {})}, _JSON
    )
