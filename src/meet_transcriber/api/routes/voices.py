"""Routes of voice profiles: people who are recognized by their voices."""

import time
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import (
    ReaderService,
    SubmitService,
    TranscribeService,
    get_author,
    settings_of,
)
from meet_transcriber.api.bodies import JsonBody, content_type, json_body, receive, validate
from meet_transcriber.api.compute import run_compute
from meet_transcriber.api.http import JobId, attachment
from meet_transcriber.api.openapi import (
    problems,
    ref,
    request_body,
    response,
    response_in,
    tagged_router,
)
from meet_transcriber.api.routes.submissions import accepted_response, run_limited
from meet_transcriber.api.schemas import VoiceClip, VoiceMerge, VoiceName, VoiceRequest
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import Options
from meet_transcriber.core.voices import Consent, Person, Sample, checked_consent, checked_person
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.service.voices import Speaker, sealer_of

router = tagged_router("voices")
# In the compute threads: all profiles of a tenant are one object, which every call reads.

VoiceId = Annotated[str, Path(description="The profile's id.")]

_FORM, _JSON = "multipart/form-data", "application/json"
_VOICE = response(200, "The profile.", "Voice")


@router.get(
    "/voices",
    summary="List voice profiles",
    responses=response(200, "All profiles, in order of creation.", "VoiceList") | problems(409),
)
async def list_voices(request: Request, service: ReaderService) -> Response:
    """The profiles of this tenant."""
    return await run_compute(request, _list, service)


def _list(service: Service) -> Response:
    return JsonResponse({"object": "list", "data": [*map(_profile, service.voices.people())]})


@router.post(
    "/voices",
    summary="Add a voice profile or a sample",
    status_code=201,
    responses=response(201, "The profile with the new sample.", "Voice", ("Location",))
    | response(202, "The clip was accepted; its job adds the sample.", "Accepted")
    | problems(400, 404, 408, 409, 413, 415, 422, 507),
    openapi_extra=request_body(VoiceRequest, others={_FORM: VoiceClip}),
)
async def remember_voice(request: Request, service: SubmitService) -> Response:
    """
    Remember a speaker of a finished meeting, or the only speaker of a clip of some seconds.

    A known name gets one more sample of the voice. A clip becomes an ordinary job, whose warnings
    say whether it was usable; it is deleted with the profile, which is listed at once and has no
    sample until the job is completed.
    """
    sealer_of(service.context)
    if content_type(request) == _FORM:
        return await _submit_clip(request, service)
    body = await JsonBody(VoiceRequest)(request)
    name, consent = checked_person(body.name), _consent(request, body.consent)
    remember = service.voices.remember
    person = await run_compute(request, remember, body.job_id, body.speaker, name, consent)
    request.state.target = person.id
    return JsonResponse(_profile(person), 201, {"Location": f"/voices/{person.id}"})


async def _submit_clip(request: Request, service: Service) -> Response:
    if settings_of(request).diarization_engine == "none":
        raise InvalidOptions("Diarization is off on this server (DIARIZATION_ENGINE=none).")
    async with receive(request, service) as received:
        fields = dict(received.fields)
        if len(fields) < len(received.fields):
            raise InvalidOptions("A field of the form was sent twice; send it once.")
        body = validate(VoiceClip, {"file": "", **fields})
        name, consent = checked_person(body.name), _consent(request, body.consent)
        upload, options = received.upload, Options(num_speakers=1, channels="mix")
        job = await run_limited(
            request,
            service.voices.submit_clip,
            upload.job_id,
            name,
            consent,
            lambda extras: upload.finish(SubmissionRequest(options, extras=extras)),
        )
    return await accepted_response(request, service, job)


def _consent(request: Request, note: str | bool) -> Consent:
    return Consent(time.time(), get_author(request), checked_consent(note))


@router.get(
    "/voices/{voice_id}",
    summary="Get a voice profile",
    responses=_VOICE | problems(404, 409),
)
async def get_voice(request: Request, service: ReaderService, voice_id: VoiceId) -> Response:
    """The person's name, and the samples of the voice."""
    return JsonResponse(_profile(await run_compute(request, service.voices.person, voice_id)))


@router.patch(
    "/voices/{voice_id}",
    summary="Rename a voice profile",
    responses=_VOICE | problems(400, 404, 409, 413, 422),
    openapi_extra=request_body(VoiceName),
)
async def rename_voice(
    request: Request,
    service: SubmitService,
    voice_id: VoiceId,
    body: Annotated[VoiceName, json_body(VoiceName)],
) -> Response:
    """New meetings get the new name; finished ones keep the old one."""
    name = checked_person(body.name)
    person = await run_compute(request, service.voices.rename, voice_id, name)
    return JsonResponse(_profile(person))


@router.post(
    "/voices/{voice_id}/merge",
    summary="Merge two voice profiles",
    responses=_VOICE | problems(400, 404, 409, 413, 422),
    openapi_extra=request_body(VoiceMerge),
)
async def merge_voices(
    request: Request,
    service: SubmitService,
    voice_id: VoiceId,
    body: Annotated[VoiceMerge, json_body(VoiceMerge)],
) -> Response:
    """Move all samples and clips of the other profile to this one, and delete the other one."""
    person = await run_compute(request, service.voices.merge, voice_id, body.voice_id)
    request.state.target = f"{body.voice_id} into {person.id}"
    return JsonResponse(_profile(person))


@router.delete(
    "/voices/{voice_id}",
    summary="Delete a voice profile",
    status_code=204,
    responses=response(204, "The profile was deleted.") | problems(404, 409),
)
async def forget_voice(request: Request, service: SubmitService, voice_id: VoiceId) -> Response:
    """
    Delete the samples of the voice, and the clips that were sent for it. Transcripts keep the
    name.
    """
    await run_compute(request, service.voices.delete, voice_id)
    return Response(status_code=204)


@router.get(
    "/voices/{voice_id}/export",
    summary="Export a voice profile",
    responses=response_in(200, "As a file.", {_JSON: ref("Voice")}, "Content-Disposition")
    | problems(404, 409, 422),
)
async def export_voice(
    request: Request,
    service: TranscribeService,
    voice_id: VoiceId,
    embeddings: Annotated[
        bool, Query(description="Include the embeddings, which are the voice itself.")
    ] = False,
) -> Response:
    """Everything that is stored about a person, for requests of access to personal data."""
    person = await run_compute(request, service.voices.person, voice_id)
    body = _profile(person, embeddings=embeddings)
    headers = {"Content-Disposition": attachment(f"voice-{voice_id}", "json")}
    return JsonResponse(body, 200, headers)


@router.get(
    "/transcribe/{job_id}/speakers",
    summary="List the speakers of a meeting",
    responses=response(200, "The speakers in order of first speech.", "Speakers")
    | problems(404, 409),
)
async def list_speakers(request: Request, service: ReaderService, job_id: JobId) -> Response:
    """
    Each speaker's name and seconds, and the most similar voice profile at present, if there are
    any. A match that is only `perhaps` is not applied: a person has to confirm it.
    """
    speakers = await run_compute(request, service.voices.speakers, job_id)
    rows = [_speaker(each) for each in speakers]
    return JsonResponse({"object": "list", "voice_profiles": service.voices.enabled, "data": rows})


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


def _profile(person: Person, embeddings: bool = False) -> dict[str, Any]:
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
