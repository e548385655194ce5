"""Takes what DICOMweb gives in its less common forms, and sends such, with software that is not ours.

web_forms.py BASE TOKEN FOLDER: BASE ends in /dicom-web, FOLDER holds the files of one study, stored there already.
"""

import io
import json
import random
import subprocess
import sys
import tempfile
import uuid
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import imagecodecs
import numpy
import pydicom
import requests
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

base, token, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
web = requests.Session()
web.headers["Authorization"] = f"Bearer {token}"
files = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
study = f"{base}/studies/{files[0].StudyInstanceUID}"


def get(url, accept, status=200):
    answer = web.get(url, headers={"Accept": accept})
    assert answer.status_code == status, (url, accept, answer.status_code, answer.text[:300])
    return answer


def url_of(data_set):
    return f"{base}/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}/instances/{data_set.SOPInstanceUID}"


# ---- compressions, by decoders of others ----

one = files[len(files) // 2]
pixels = one.pixel_array
for media, decode in [
    ("image/jls", imagecodecs.jpegls_decode),
    ("image/jpeg", imagecodecs.ljpeg_decode),
    ("image/jphc", imagecodecs.htj2k_decode),
]:
    frame = get(f"{url_of(one)}/frames/1", media)
    decoded = decode(frame.content).astype(numpy.int64)
    # What has no sign in the codestream has it in the attributes.
    if one.PixelRepresentation and decoded.max() > 32767:
        decoded = decoded.astype(numpy.uint16).view(numpy.int16)
    assert (decoded == pixels).all(), media
for syntax in ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"]:
    answer = get(url_of(one), f"application/dicom; transfer-syntax={syntax}")
    same = pydicom.dcmread(io.BytesIO(answer.content))
    assert same.file_meta.TransferSyntaxUID == syntax and same.SOPInstanceUID == one.SOPInstanceUID
    assert (same.pixel_array == pixels).all(), syntax
lossy = pydicom.dcmread(io.BytesIO(get(url_of(one), "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.81").content))
assert lossy.SOPInstanceUID != one.SOPInstanceUID and lossy.LossyImageCompression == "01"
assert lossy.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID

# ---- the first bytes of a codestream are a smaller image ----

whole = get(f"{url_of(one)}/frames/1", "image/jphc")
sizes = [entry.split("=") for entry in whole.headers["X-Resolutions"].split(", ")]
for index, (size, length) in enumerate(sizes):
    halved = get(f"{url_of(one)}/frames/1?resolution={len(sizes) - 1 - index}", "image/jphc")
    columns, rows = map(int, size.split("x"))
    assert imagecodecs.htj2k_decode(halved.content).shape == (rows, columns), size
    part = web.get(f"{url_of(one)}/frames/1", headers={"Accept": "image/jphc", "Range": f"bytes=0-{int(length) - 1}"})
    assert part.status_code == 206 and part.content == whole.content[: int(length)]

# ---- an archive with its directory ----

with tempfile.TemporaryDirectory() as unpacked:
    zipfile.ZipFile(io.BytesIO(get(study, "application/zip").content)).extractall(unpacked)
    listed = FileSet(Path(unpacked) / "DICOMDIR")
    assert {entry.SOPInstanceUID for entry in listed} == {str(file.SOPInstanceUID) for file in files}
    for entry in listed:
        assert entry.load().SOPInstanceUID == entry.SOPInstanceUID

# ---- Native DICOM Models, against dcmtk's ----

NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
# dcmtk gives numbers of these as it reads them, and names of private attributes are its own.
NUMBERS = {"DS", "FL", "FD"}


def attributes(element, place=()):
    """All values of a model by their place, without those that are only referred to."""
    found = {}
    for attribute in element.findall(f"{NAMESPACE}DicomAttribute"):
        tag, vr = attribute.get("tag").upper(), attribute.get("vr")
        if tag[:4] == "0002" or tag == "00080005" or vr in ("OB", "OW", "UN"):
            continue
        items = attribute.findall(f"{NAMESPACE}Item")
        for item in items:
            found |= attributes(item, (*place, tag, item.get("number")))
        if not items:
            texts = ["".join(value.itertext()).strip() for value in attribute]
            found[(*place, tag)] = (vr, [float(t) for t in texts] if vr in NUMBERS else [t for t in texts if t])
    return found


native = subprocess.run(
    ["/usr/bin/dcm2xml", "-nat", "+Xn", "+U8", one.filename], check=True, capture_output=True
).stdout
ours = get(f"{url_of(one)}/metadata", 'multipart/related; type="application/dicom+xml"').content
ours = ours[ours.index(b"<?xml") : ours.rindex(b">", 0, ours.rindex(b"\r\n--")) + 1]
theirs, ours = attributes(ElementTree.fromstring(native)), attributes(ElementTree.fromstring(ours))
differing = {place for place in theirs.keys() & ours.keys() if theirs[place] != ours[place]}
assert not differing, [(place, theirs[place], ours[place]) for place in differing]
assert len(theirs.keys() & ours.keys()) > 60, sorted(theirs.keys() ^ ours.keys())

# ---- metadata with bulk data, as pydicom writes it ----


def store(kind, parts):
    boundary = uuid.uuid4().hex
    body = b"".join(
        f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Location: {location}\r\n\r\n".encode() + content + b"\r\n"
        for content_type, location, content in parts
    )
    headers = {"Content-Type": f'multipart/related; type="{kind}"; boundary={boundary}'}
    answer = web.post(f"{base}/studies", data=body + f"--{boundary}--\r\n".encode(), headers=headers)
    assert answer.status_code == 200, (answer.status_code, answer.text[:500])
    return answer


bulk = []


def keep(element):
    bulk.append(("application/octet-stream", f"bulk/{len(bulk)}", element.value))
    return bulk[-1][1]


sent = pydicom.dcmread(one.filename)
sent.PixelData = pixels.tobytes()
sent.SOPInstanceUID = generate_uid()
model = json.dumps([sent.to_json_dict(bulk_data_threshold=512, bulk_data_element_handler=keep)]).encode()
store("application/dicom+json", [("application/dicom+json", "", model), *bulk])
back = pydicom.dcmread(io.BytesIO(get(url_of(sent), "application/dicom").content))
assert (back.pixel_array == pixels).all()
for element in sent:
    if element.tag not in (0x00080005, 0x7FE00010) and element.VR != "SQ":
        assert back[element.tag].value == element.value, (element, back[element.tag])

document = pydicom.Dataset()
document.update({e.tag: e for e in sent if e.tag.group in (0x0010,) or e.keyword == "StudyInstanceUID"})
document.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
document.SOPInstanceUID, document.SeriesInstanceUID, document.Modality = generate_uid(), generate_uid(), "DOC"
model = document.to_json_dict() | {"00420011": {"vr": "OB", "BulkDataURI": "report.pdf"}}
pdf = b"%PDF-1.7\n" + random.randbytes(1001)
store(
    "application/dicom+json",
    [("application/dicom+json", "", json.dumps([model]).encode()), ("application/pdf", "report.pdf", pdf)],
)
assert get(f"{url_of(document)}/rendered", "application/pdf").content == pdf

# ---- and whether all of that is kept ----

asked = {"00081199": {"vr": "SQ", "Value": [
    {"00081150": {"vr": "UI", "Value": [str(f.SOPClassUID)]}, "00081155": {"vr": "UI", "Value": [str(f.SOPInstanceUID)]}}
    for f in [*files, sent, document]
]}}
answer = web.post(
    f"{base}/commitment-requests/{generate_uid()}", json=asked, headers={"Content-Type": "application/dicom+json"}
)
assert answer.status_code == 200 and len(answer.json()["00081199"]["Value"]) == len(files) + 2, answer.text[:300]
assert "00081198" not in answer.json()
print("all is well")
