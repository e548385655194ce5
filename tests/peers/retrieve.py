"""pynetdicom as workstation that fetches: retrieve.py PORT MOVE-PORT NATIVE-PORT FOLDER

Fetches each instance of the files in FOLDER that the archive holds by C-GET, and all studies by C-MOVE to MOVE-PORT, and
compares the data sets byte for byte. What goes to NATIVE-PORT, which takes Explicit VR Little Endian only, must have the
pixels of the file."""

import collections
import io
import pathlib
import sys

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as Find,
    PatientRootQueryRetrieveInformationModelGet as PatientGet,
    StudyRootQueryRetrieveInformationModelGet as Get,
    StudyRootQueryRetrieveInformationModelMove as Move,
)

import steady  # noqa: F401

port, move_port, native_port = (int(text) for text in sys.argv[1:4])
Held = collections.namedtuple("Held", "path study series instance sop_class syntax data_set patient")


def held(path):
    raw = path.read_bytes()
    with path.open("rb") as file:
        read_preamble(file, False)
        meta = _read_file_meta_info(file)
        # Group lengths of some files are wrong.
        start = file.tell()
    tags = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "PatientID"]
    ds = pydicom.dcmread(path, specific_tags=tags)
    return Held(path, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.SOPClassUID,
                meta.TransferSyntaxUID, raw[start:], str(ds.get("PatientID", "")))


files = []
for path in sorted(path for path in pathlib.Path(sys.argv[4]).rglob("*") if path.is_file()):
    try:
        files.append(held(path))
    except Exception:
        # No instance, or none that pydicom finds its way in.
        continue


def identifier(level, **keys):
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(ds, name, value)
    return ds


def get(model, query, contexts, cancel_after=None):
    """The data sets that come, and the statuses."""
    came = []

    def store(event):
        came.append((event.request.AffectedSOPInstanceUID, event.context.transfer_syntax,
                     event.request.DataSet.getvalue()))
        if cancel_after == len(came):
            event.assoc.send_c_cancel(1, query_model=model)
        return 0x0000

    ae = AE("PYTHON")
    ae.add_requested_context(model)
    for sop_class, syntaxes in contexts:
        ae.add_requested_context(sop_class, syntaxes)
    roles = [build_role(sop_class, scp_role=True) for sop_class in {c for c, _ in contexts}]
    association = ae.associate("127.0.0.1", port, ae_title="YINGHAI", ext_neg=roles,
                               evt_handlers=[(evt.EVT_C_STORE, store)])
    assert association.is_established, "no association"
    statuses = [status for status, _ in association.send_c_get(query, model, msg_id=1)]
    assert association.is_established, f"the association did not survive {query}"
    association.release()
    return came, statuses


def exists(file):
    """Whether the archive holds it: some files of test data name no study, or are of no patient."""
    ae = AE("PYTHON")
    ae.add_requested_context(Find)
    association = ae.associate("127.0.0.1", port, ae_title="YINGHAI")
    query = identifier("IMAGE", StudyInstanceUID=file.study, SeriesInstanceUID=file.series, SOPInstanceUID=file.instance)
    answers = [status.Status for status, _ in association.send_c_find(query, Find)]
    association.release()
    return answers[0] in (0xFF00, 0xFF01)


files = [file for file in files if exists(file)]
by_key = collections.defaultdict(list)
for file in files:
    by_key[file.study, file.series, file.instance].append(file)

# ---- every instance by C-GET, as it is stored -------------------------------------------------------------------
for (study, series, instance), same in by_key.items():
    query = identifier("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance)
    contexts = {(file.sop_class, file.syntax) for file in same}
    came, statuses = get(Get, query, [(sop_class, [syntax]) for sop_class, syntax in contexts])
    assert statuses[-1].Status == 0x0000, f"{same[0].path}: {statuses[-1]}"
    lengths = [len(data_set) for _, _, data_set in came], [len(file.data_set) for file in same]
    assert len(came) == 1 and any(came[0][2] == file.data_set for file in same), f"{same[0].path}: {lengths}"
print(len(by_key), "instances by C-GET")

# ---- a series, counted and cancelled ----------------------------------------------------------------------------
sizes = collections.Counter((key[0], key[1], same[0].sop_class, same[0].syntax) for key, same in by_key.items())
(study, series, sop_class, syntax), count = max(sizes.items(), key=lambda size: size[1])
query = identifier("SERIES", StudyInstanceUID=study, SeriesInstanceUID=series)
came, statuses = get(Get, query, [(sop_class, [syntax])])
assert len(came) == count and statuses[-1].NumberOfCompletedSuboperations == count, statuses[-1]
pending = [status for status in statuses if status.Status == 0xFF00]
assert [s.NumberOfRemainingSuboperations for s in pending] == list(range(count - 1, 0, -1)), "counts of pending answers"
if count > 10:
    came, statuses = get(Get, query, [(sop_class, [syntax])], cancel_after=3)
    assert statuses[-1].Status == 0xFE00 and 3 <= len(came) < count, (len(came), statuses[-1])
    assert statuses[-1].NumberOfRemainingSuboperations == count - len(came)

# What has no presentation context is told of.
_, statuses = get(Get, query, [("1.2.840.10008.5.1.4.1.1.7.4", [ImplicitVRLittleEndian])])
assert statuses[-1].Status == 0xA702 and statuses[-1].NumberOfFailedSuboperations == count, statuses[-1]

# ---- questions that cannot be answered --------------------------------------------------------------------------
for query, expected in [
    (identifier("STUDY"), 0xA900),
    (identifier("STUDY", StudyInstanceUID="*"), 0xA900),
    (identifier("NONSENSE", StudyInstanceUID=study), 0xA900),
    (identifier("PATIENT", PatientID="P"), 0xA900),
    (identifier("STUDY", StudyInstanceUID="1.2.3.4.5"), 0x0000),
]:
    _, statuses = get(Get, query, [(sop_class, [syntax])])
    assert statuses[-1].Status == expected, (query, statuses[-1])
patient = next(file.patient for file in files if file.study == study)
if patient:
    came, statuses = get(PatientGet, identifier("PATIENT", PatientID=patient), [(sop_class, [syntax])])
    assert len(came) >= count, "all of a patient"

# ---- C-MOVE ------------------------------------------------------------------------------------------------------
moved = collections.defaultdict(list)
originators = set()


def receive(event):
    moved[event.request.AffectedSOPInstanceUID].append((event.context.transfer_syntax, event.request.DataSet.getvalue()))
    originators.add((event.request.MoveOriginatorApplicationEntityTitle, event.request.MoveOriginatorMessageID))
    return 0x0000


def receiver(port, syntaxes):
    ae = AE("RECEIVER")
    ae.maximum_pdu_size = 0
    for sop_class in STORAGE:
        ae.add_supported_context(sop_class, syntaxes)
    return ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, receive)])


def move(destination, query):
    ae = AE("PYTHON")
    ae.add_requested_context(Move)
    association = ae.associate("127.0.0.1", port, ae_title="YINGHAI")
    assert association.is_established, "no association"
    statuses = list(association.send_c_move(query, destination, Move, msg_id=7))
    association.release()
    return [status for status, _ in statuses], [identifier for _, identifier in statuses]


# As acceptor, pynetdicom aborts for a retired or private SOP Class.
STORAGE = {context.abstract_syntax for context in AllStoragePresentationContexts}
unknown = {key[0] for key, same in by_key.items() if any(file.sop_class not in STORAGE for file in same)}
by_key = {key: same for key, same in by_key.items() if key[0] not in unknown}
server = receiver(move_port, sorted({file.syntax for file in files}))
studies = collections.Counter(study for study, _, _ in by_key)
for study, count in studies.items():
    statuses, _ = move("RECEIVER", identifier("STUDY", StudyInstanceUID=study))
    assert statuses[-1].Status == 0x0000, f"{study}: {statuses[-1]}"
    assert statuses[-1].NumberOfCompletedSuboperations == count, f"{study}: {statuses[-1]}"
for (_, _, instance), same in by_key.items():
    assert any(data_set == file.data_set for _, data_set in moved[instance] for file in same), f"{same[0].path}"
assert originators == {("PYTHON", 7)}, originators
print(len(by_key), "instances by C-MOVE")
statuses, _ = move("NOBODY", identifier("STUDY", StudyInstanceUID=study))
assert statuses[-1].Status == 0xA801, statuses[-1]
server.shutdown()
statuses, identifiers = move("RECEIVER", identifier("STUDY", StudyInstanceUID=study))
assert statuses[-1].Status == 0xA702, statuses[-1]
failed = identifiers[-1].FailedSOPInstanceUIDList
assert len([failed] if isinstance(failed, str) else failed) == studies[study], "what failed is listed"

# ---- a destination that takes native pixel data only -------------------------------------------------------------
moved.clear()
server = receiver(native_port, [ExplicitVRLittleEndian])
compared, others = 0, []
# Their codestream and their Pixel Representation contradict each other, and readers differ in whom they believe.
CONTRADICTORY = {"TOSHIBA_J2K_SIZ1_PixRep0.dcm", "TOSHIBA_J2K_SIZ0_PixRep1.dcm"}
for (study, series, instance), same in by_key.items():
    file = same[0]
    if len(same) > 1 or file.syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        continue
    statuses, _ = move("NATIVE", identifier("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance))
    if statuses[-1].Status != 0x0000:
        continue
    expected = pydicom.dcmread(file.path)
    (syntax, data_set), = moved[instance]
    came = pydicom.dcmread(io.BytesIO(data_set), force=True)
    came.file_meta = pydicom.dataset.FileMetaDataset()
    came.file_meta.TransferSyntaxUID = syntax
    changed = {"PixelData", "PhotometricInterpretation", "PlanarConfiguration", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"}
    try:
        elements, pixels = list(expected), expected.pixel_array
    except Exception:
        # pydicom does not find its way in the file, or cannot decode it.
        continue
    for element in elements:
        if element.keyword not in changed and element.VR != "SQ" and element.tag.element != 0 and element.tag.group != 0xFFFC:
            assert came[element.tag].value == element.value, f"{file.path}: {element.keyword}"
    if "YBR" in expected.PhotometricInterpretation or expected.get("LossyImageCompression") == "01":
        continue
    if (came.pixel_array != pixels).any() and file.path.name not in CONTRADICTORY:
        others.append(str(file.path))
    compared += 1
server.shutdown()
assert not others, "other pixels:\n" + "\n".join(others)
print(compared, "instances with the same pixels in Explicit VR Little Endian")
