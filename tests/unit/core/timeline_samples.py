"""The same half minute in every format, in the manner of those who write them."""

TEAMS_VTT = """WEBVTT

d7b7ba55-8f4c-4b8f-8b1c-6a5a0f9f4a8e/14-0
00:00:03.580 --> 00:00:09.240
<v Ann Lee>Good morning, everybody. Shall we start
with the release?</v>

d7b7ba55-8f4c-4b8f-8b1c-6a5a0f9f4a8e/21-0
00:00:09.900 --> 00:00:14.000
<v Bob Ray (Guest)>Yes, two things are left: the printer &amp; the tray.</v>

d7b7ba55-8f4c-4b8f-8b1c-6a5a0f9f4a8e/30-1
00:00:14.500 --> 00:00:20.250
<v Ann Lee>Note: nobody has tested the second one.</v>
"""

ZOOM_VTT = """WEBVTT

1
00:00:03.580 --> 00:00:09.240
Ann Lee: Good morning, everybody. Shall we start with the release?

2
00:00:09.900 --> 00:00:14.000
Bob Ray (Guest): Yes, two things are left: the printer & the tray.

3
00:00:14.500 --> 00:00:20.250
Ann Lee: Note: nobody has tested the second one.
"""

ZOOM_CSV = (
    "\ufeffSpeaker Name,Start Time,End Time\r\n"
    '"Ann Lee",00:00:03.580,00:00:09.240\r\n'
    "Bob Ray (Guest),00:00:09.900,00:00:14.000\r\n"
    "Ann Lee,00:00:14.500,00:00:20.250\r\n"
)

MEET_CSV = """Meeting: weekly;;
Participant;Time;End
Ann Lee;24/11/2026, 10:02:03.580 AM;24/11/2026, 10:02:09.240 AM
Bob Ray (Guest);24/11/2026, 10:02:09.900 AM;24/11/2026, 10:02:14.000 AM
Ann Lee;24/11/2026, 10:02:14.500 AM;24/11/2026, 10:02:20.250 AM
"""

RTTM = """;; made by hand
SPKR-INFO weekly 1 <NA> <NA> <NA> adult_female Ann_Lee <NA> <NA>
SPEAKER weekly 1 3.580 5.660 <NA> <NA> Ann_Lee <NA> <NA>
SPEAKER weekly 1 9.900 4.100 <NA> <NA> Bob_Ray <NA> <NA>
SPEAKER weekly 1 14.500 5.750 <NA> <NA> Ann_Lee <NA> <NA>
"""

JSON = """[
  {"name": "Ann Lee", "start": 3.58, "end": 9.24},
  {"name": "Bob Ray (Guest)", "start": 9.9, "end": 14},
  {"name": "Ann Lee", "start": "00:00:14.500", "end": "20,25"}
]"""

ZOOM_TIMELINE = """{"timeline": [
  {"ts": "00:00:03.580", "users": [{"username": "Ann Lee", "user_id": "1", "client_type": 0}]},
  {"ts": "00:00:09.240", "users": []},
  {"ts": "00:00:09.900", "users": [{"username": "Bob Ray (Guest)"}, {"username": ""}]},
  {"ts": "00:00:14.000", "users": []},
  {"ts": "00:00:14.500", "users": [{"username": "Ann Lee"}]},
  {"ts": "00:00:20.250", "users": []}
]}"""
