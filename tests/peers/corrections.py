"""pydicom judges corrected instances, highdicom writes a rejection note.

corrections.py http://HOST:PORT TOKEN FOLDER-WITH-DICOM-FILES
"""

import io
import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

import highdicom
import pydicom
from pydicom.sr.codedict import codes

server, token, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
NAME = "Zhang^San=张^三"
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def ask(path, method="GET", body=None, kind="application/json", accept="application/dicom+json, application/json"):
    headers = {"Authorization": f"Bearer {token}", "Accept": accept, "Content-Type": kind}
    request = urllib.request.Request(server + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read()


def store(file):
    boundary = b"--BOUND\r\nContent-Type: application/dicom\r\n\r\n"
    body = boundary + file + b"\r\n--BOUND--\r\n"
    ask("/dicom-web/studies", "POST", body, 'multipart/related; type="application/dicom"; boundary=BOUND')


def correct(**wanted):
    body = json.dumps({"reason": "scenario", **wanted}).encode()
    return json.loads(ask("/api/corrections", "POST", body))


def path_of(data_set):
    study, series, instance = data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID
    return f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"


def retrieve(data_set, query="", syntax="*"):
    accept = f"application/dicom; transfer-syntax={syntax}"
    return pydicom.dcmread(io.BytesIO(ask(path_of(data_set) + query, accept=accept)), force=True)


def plain(value):
    """pydicom leaves the escape sequences of ISO IR 58 in the text."""
    return str(value).replace("\x1b$)A", "")


def name(data_set):
    return plain(data_set.get("PatientName", ""))


def text(element):
    """As a reader sees it: padding aside, sequences item by item."""
    if element.VR == "SQ":
        return [{e.tag: text(e) for e in item if e.tag.element} for item in element.value]
    if element.VR in ("OB", "OW", "UN", "OF", "OD", "OL"):
        return bytes(element.value or b"").rstrip(b"\0")
    return plain(element.value).strip()


CORRECTED = {0x00080005, 0x00100010, 0x00081080, 0x04000561}
judged, odd, met, studies = 0, 0, set(), set()
for file in sorted(folder.rglob("*.dcm")):
    received = file.read_bytes()
    original = pydicom.dcmread(io.BytesIO(received), force=True)
    try:
        # Another file of the same UIDs is a version that is not seen.
        if path_of(original) in met:
            continue
        met.add(path_of(original))
        store(received)
        correct(study=original.StudyInstanceUID, set={"AdmittingDiagnosesDescription": "再检查"})
        patient = {"id": "SCENARIO", "issuer": "YH"}
        given = {"PatientName": NAME, "PatientSex": "O"} if judged == 0 else {}
        if original.StudyInstanceUID not in studies:
            assigned = correct(study=original.StudyInstanceUID, assign_to=patient, **{"with": given})
        studies.add(original.StudyInstanceUID)
        seen = retrieve(original)
    except (urllib.error.HTTPError, AttributeError, KeyError) as error:
        # What cannot be stored or has no UIDs is other tests' business.
        odd += 1
        continue
    for meta in original.file_meta:
        assert seen.file_meta.get(meta.tag) == meta, file
    assert name(seen) == NAME, (file, seen.PatientName)
    assert seen.PatientID == "SCENARIO" and seen.IssuerOfPatientID == "YH", file
    assert plain(seen.AdmittingDiagnosesDescription) == "再检查", file
    own = len(original.get("OriginalAttributesSequence", []))
    originals = [item.ModifiedAttributesSequence[0] for item in seen.OriginalAttributesSequence[own:]]
    before = next(item for item in originals if "PatientID" in item)
    # What is declared as something else than it is, or not at all, only we read.
    is_readable = "undeclared" not in file.name and "label" not in file.name
    if name(original) != NAME and is_readable:
        assert name(before) == name(original), (file, before)
    assert before.PatientID == original.get("PatientID", ""), file
    changed = CORRECTED.union(*(item.keys() for item in originals))
    for tag in original.keys():
        # Group lengths, delimiters out of place and padding at the end are of the file, not of the object.
        if tag in changed or tag.element == 0 or tag.group in (0xFFFE, 0xFFFC):
            continue
        assert tag in seen, (file, tag)
        if is_readable:
            assert text(seen[tag]) == text(original[tag]), (file, tag)
    extra = set(seen.keys()) - set(original.keys()) - changed
    assert extra <= {0x00100021, 0x00081080, 0x04000561, 0x00080005, 0x00100040, 0x00100030}, (file, extra)
    assert ask(path_of(original) + "?version=1", accept="application/dicom; transfer-syntax=*") == received, file
    item = json.loads(ask(path_of(original) + "/metadata"))[0]
    assert item["00100010"]["Value"] == [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}], file
    assert len(item["04000561"]["Value"]) == len(seen.OriginalAttributesSequence), file
    judged += 1
    if judged == 1:
        first, first_assigned = original, assigned
    elif judged % 2 == 0 and assigned["target"] == {"Study": original.StudyInstanceUID}:
        reason = urllib.request.quote("it was right")
        ask(f"/api/corrections/{assigned['id']}?reason={reason}", "DELETE")
        studies.remove(original.StudyInstanceUID)
        again = retrieve(original)
        assert name(again) == name(original) or not is_readable, file

# In Explicit VR Little Endian too.
explicit = retrieve(first, syntax="1.2.840.10008.1.2.1")
assert name(explicit) == NAME

# As of the time of its last correction.
at = urllib.request.quote(first_assigned["made"]["at"])
series = json.loads(ask(f"/dicom-web/studies/{first.StudyInstanceUID}/metadata?asOf={at}"))
assert series[0]["00100010"]["Value"][0]["Alphabetic"] == "Zhang^San"

# A rejection note hides what it names, within moments.
note = highdicom.ko.KeyObjectSelectionDocument(
    evidence=[first],
    content=highdicom.ko.KeyObjectSelection(
        document_title=codes.DCM.RejectedForQualityReasons, referenced_objects=[first]
    ),
    series_instance_uid=highdicom.UID(),
    series_number=99,
    sop_instance_uid=highdicom.UID(),
    instance_number=1,
    manufacturer="scenario",
)
buffer = io.BytesIO()
note.save_as(buffer, enforce_file_format=True)
store(buffer.getvalue())
for _ in range(100):
    try:
        ask(path_of(first) + "/metadata")
    except urllib.error.HTTPError as error:
        assert error.code == 404, error.code
        break
    time.sleep(0.1)
else:
    raise AssertionError("what was rejected is still seen")
listed = json.loads(ask(f"/api/corrections?study={first.StudyInstanceUID}"))
assert listed[0]["kind"] == "rejection" and listed[0]["rejected"] == "quality", listed[0]
print(f"{judged} instances judged, {odd} left out")
