"""dicomweb-client stores, searches, retrieves and deletes: dicomweb_library.py URL TOKEN FOLDER-OF-DATA

The server holds the files of FOLDER/charset; everything else is stored here.
"""

import io
import sys
from pathlib import Path

import numpy as np
import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image

URL, TOKEN, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
client = DICOMwebClient(URL, headers={"Authorization": f"Bearer {TOKEN}"})
client.set_http_retry_params(retry=False)


def read(path):
    return pydicom.dcmread(FOLDER / "conformance" / path)


def uids(ds):
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def values(answers, keyword):
    tag = client.lookup_tag(keyword)
    return [answer[tag]["Value"][0] for answer in answers if "Value" in answer.get(tag, {})]


def refused(status, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except requests.HTTPError as error:
        assert error.response.status_code == status, error
    else:
        raise AssertionError(f"{call.__name__}{arguments} was not refused")


SERIES = [pydicom.dcmread(path) for path in sorted((FOLDER / "conformance/series/gantry-tilt-philips").glob("*.dcm"))]
CT = read("transfer-syntax/native/CT_small.dcm")
FRAMES = read("transfer-syntax/rle/SC_rgb_rle_2frame.dcm")
ONE = SERIES[0]


# Checked by themselves; and what means nothing (PS3.10 §7.2).
OTHERWISE = ("SpecificCharacterSet", "PixelData", "DataSetTrailingPadding")


def store():
    answer = client.store_instances(SERIES)
    stored = [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence]
    assert sorted(stored) == sorted(ds.SOPInstanceUID for ds in SERIES), stored
    assert "FailedSOPSequence" not in answer, answer
    assert answer.RetrieveURL.endswith(f"/studies/{ONE.StudyInstanceUID}"), answer.RetrieveURL
    client.store_instances([CT, FRAMES])
    client.store_instances([CT], study_instance_uid=CT.StudyInstanceUID)
    refused(409, client.store_instances, [CT], study_instance_uid="1.2.3")


def search_studies():
    names = lambda **more: [name["Alphabetic"] for name in values(client.search_for_studies(**more), "PatientName")]
    find = lambda **filters: values(client.search_for_studies(search_filters=filters), "StudyInstanceUID")
    assert find(PatientID="PLASTIC") == [ONE.StudyInstanceUID]
    assert find(PatientID="PLAST*") == [ONE.StudyInstanceUID]
    assert find(StudyDate="20150101-20151231") == [ONE.StudyInstanceUID]
    assert find(StudyInstanceUID=CT.StudyInstanceUID) == [CT.StudyInstanceUID]
    assert find(ModalitiesInStudy="NOSUCH") == []
    assert ONE.StudyInstanceUID in find(ModalitiesInStudy="CT")
    assert find(**{"00100020": "PLASTIC"}) == [ONE.StudyInstanceUID], "by tag"
    assert {"Zhang^San", "Zhang^XiaoDong"} <= set(names(search_filters={"PatientName": "zhang*"}))
    assert names(search_filters={"PatientName": "xiaodong"}) == []
    # One of the files writes Zhang^San and 王^小东.
    typed = names(search_filters={"PatientName": "zhang xiaodong"}, fuzzymatching=True)
    assert sorted(typed) == ["Zhang^San", "Zhang^XiaoDong"], typed


def search_in_pages():
    everything = values(client.search_for_studies(), "StudyInstanceUID")
    assert len(set(everything)) == len(everything) > 20, everything
    pages = [values(client.search_for_studies(limit=7, offset=at), "StudyInstanceUID") for at in range(0, len(everything), 7)]
    assert [len(page) for page in pages[:-1]] == [7] * (len(pages) - 1), pages
    assert sum(pages, []) == everything
    assert client.search_for_studies(offset=len(everything)) == []
    assert values(client.search_for_studies(limit=7, get_remaining=True), "StudyInstanceUID") == everything


def search_below():
    study, series, _ = uids(ONE)
    (found,) = client.search_for_series(study, fields=["Manufacturer"])
    assert values([found], "SeriesInstanceUID") == [series] and values([found], "Manufacturer") == [ONE.Manufacturer]
    assert values([found], "NumberOfSeriesRelatedInstances") == [len(SERIES)]
    (plain,) = client.search_for_series(search_filters={"SeriesInstanceUID": series})
    assert values([plain], "StudyInstanceUID") == [study] and values([plain], "Manufacturer") == []
    numbers = sorted(ds.SOPInstanceUID for ds in SERIES)
    for found in (client.search_for_instances(study, series), client.search_for_instances(study)):
        assert sorted(values(found, "SOPInstanceUID")) == numbers
    wanted = {"InstanceNumber": str(ONE.InstanceNumber)}
    found = client.search_for_instances(study, search_filters=wanted, fields=["ImagePositionPatient", "00280030"])
    assert values(found, "SOPInstanceUID") == [ONE.SOPInstanceUID]
    assert found[0]["00200032"]["Value"] == list(ONE.ImagePositionPatient), found
    assert found[0]["00280030"]["Value"] == list(ONE.PixelSpacing), found


def retrieve():
    study, series, instance = uids(ONE)
    as_stored = {"media_types": (("application/dicom", "*"),)}
    expected = {ds.SOPInstanceUID: ds for ds in SERIES}
    for found in (
        client.retrieve_study(study, **as_stored),
        list(client.iter_study(study, **as_stored)),
        client.retrieve_series(study, series, **as_stored),
        list(client.iter_series(study, series, **as_stored)),
        [client.retrieve_instance(study, series, ds.SOPInstanceUID, **as_stored) for ds in SERIES],
    ):
        assert len(found) == len(SERIES)
        assert all(ds == expected[ds.SOPInstanceUID] for ds in found), "a data set came back other than it went"
        assert {ds.file_meta.TransferSyntaxUID for ds in found} == {ONE.file_meta.TransferSyntaxUID}
    assert client.retrieve_instance(study, series, instance) == ONE
    native = (("application/dicom", pydicom.uid.ExplicitVRLittleEndian),)
    plain = client.retrieve_instance(study, series, instance, media_types=native)
    assert plain.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert np.array_equal(plain.pixel_array, ONE.pixel_array), "decoded otherwise than by CharLS"
    refused(404, client.retrieve_instance, study, series, "1.2.3")


def metadata():
    study, series, instance = uids(ONE)
    for found in (client.retrieve_study_metadata(study), client.retrieve_series_metadata(study, series)):
        assert sorted(values(found, "SOPInstanceUID")) == sorted(ds.SOPInstanceUID for ds in SERIES)
    fetch = lambda uri: bytes(client.retrieve_bulkdata(uri)[0])
    for original in (ONE, CT):
        found = pydicom.Dataset.from_json(client.retrieve_instance_metadata(*uids(original)), fetch)
        assert found.pop("SpecificCharacterSet").value == "ISO_IR 192", "JSON is UTF-8"
        assert found.pop("PixelData").value == original.pixel_array.tobytes()
        other = [e.keyword or e.tag for e in original if e.keyword not in OTHERWISE and found.get(e.tag) != e]
        assert not other, other


def frames():
    place = uids(ONE)
    (native,) = client.retrieve_instance_frames(*place, [1])
    assert native == ONE.pixel_array.tobytes()
    (native,) = client.retrieve_instance_frames(*place, [1], media_types=("application/octet-stream",))
    assert native == ONE.pixel_array.tobytes()
    jls = (("image/jls", pydicom.uid.JPEGLSLossless),)
    (encoded,) = client.iter_instance_frames(*place, [1], media_types=jls)
    assert encoded == next(pydicom.encaps.generate_frames(ONE.PixelData, number_of_frames=1))
    both = client.retrieve_instance_frames(*uids(FRAMES), [2, 1])
    assert [np.frombuffer(frame, "u1").reshape(100, 100, 3).tolist() for frame in both] == FRAMES.pixel_array[::-1].tolist()
    refused(404, client.retrieve_instance_frames, *place, [2])


def rendered():
    study, series, instance = uids(ONE)
    open_ = lambda data: Image.open(io.BytesIO(data))
    for format_, media in (("PNG", "image/png"), ("JPEG", "image/jpeg")):
        picture = open_(client.retrieve_instance_rendered(study, series, instance, media_types=(media,)))
        assert (picture.format, picture.size) == (format_, (ONE.Columns, ONE.Rows)), picture
        picture = open_(client.retrieve_instance_frames_rendered(study, series, instance, [1], media_types=(media,)))
        assert (picture.format, picture.size) == (format_, (ONE.Columns, ONE.Rows)), picture
    window = {"window": "50,100,linear", "viewport": "128,128"}
    narrow = open_(client.retrieve_instance_rendered(study, series, instance, media_types=("image/png",), params=window))
    assert narrow.size == (128, 128) and np.asarray(narrow).std() > 20
    assert open_(client.retrieve_series_rendered(study, series, media_types=("image/png",))).format == "PNG"


def bulkdata():
    uri = client.retrieve_instance_metadata(*uids(CT))["7FE00010"]["BulkDataURI"]
    octets = {"media_types": ("application/octet-stream",)}
    for whole in (client.retrieve_bulkdata(uri), client.retrieve_bulkdata(uri, **octets), list(client.iter_bulkdata(uri))):
        assert whole == [CT.PixelData]
    # A range is of a body of one part (RFC 9110 §14), and the library asks for several: then all of it comes.
    assert client.retrieve_bulkdata(uri, byte_range=(100, 299), **octets) == [CT.PixelData]


def delete():
    study, series, instance = uids(ONE)
    client.delete_instance(study, series, instance)
    assert len(client.search_for_instances(study)) == len(SERIES) - 1
    refused(404, client.retrieve_instance_metadata, study, series, instance)
    client.delete_series(study, series)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []
    client.delete_study(CT.StudyInstanceUID)
    refused(404, client.retrieve_study_metadata, CT.StudyInstanceUID)
    refused(404, client.delete_study, "1.2.3")


for step in (store, search_studies, search_in_pages, search_below, retrieve, metadata, frames, rendered, bulkdata, delete):
    step()
    print(f"{step.__name__}: as expected")
