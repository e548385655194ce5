"""requests, websockets and pydicom as scheduler and watcher of workitems over HTTP, pynetdicom as their performer:
ups_rs.py BASE-URL TOKEN DICOM-PORT"""

import json
import sys

import requests
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom import AE
from pynetdicom.sop_class import UnifiedProcedureStepPull as Pull, UnifiedProcedureStepPush as Push
from websockets.sync.client import connect

import steady  # noqa: F401

base, token, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
GLOBAL, FILTERED = "1.2.840.10008.5.1.4.34.5", "1.2.840.10008.5.1.4.34.5.1"
web = requests.Session()
web.headers = {"Authorization": f"Bearer {token}", "Accept": "application/dicom+json"}


def ask(method, path, ds=None, **parameters):
    body = None if ds is None else json.dumps([ds.to_json_dict()])
    headers = {"Content-Type": "application/dicom+json"}
    return web.request(method, f"{base}{path}", data=body, params=parameters or None, headers=headers)


def scheduled(label="Lung nodules", **change):
    ds = Dataset()
    ds.ProcedureStepState, ds.ScheduledProcedureStepPriority = "SCHEDULED", "MEDIUM"
    ds.ProcedureStepLabel, ds.WorklistLabel, ds.InputReadinessState = label, "AI", "READY"
    ds.ScheduledProcedureStepStartDateTime = "20261128090000+0800"
    ds.PatientName, ds.PatientID, ds.StudyInstanceUID = "Wang^XiaoDong=王^小东", "P1", "1.2.3"
    ds.PatientBirthDate = ds.PatientSex = ds.TransactionUID = ""
    for name in ("ScheduledProcessingParametersSequence", "ScheduledStationNameCodeSequence", "ScheduledWorkitemCodeSequence",
                 "InputInformationSequence", "ProcedureStepProgressInformationSequence",
                 "UnifiedProcedureStepPerformedProcedureSequence"):
        setattr(ds, name, [])
    for name, value in change.items():
        setattr(ds, name, value)
    return ds


def keys(**values):
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return ds


def channel(url):
    return connect(url, additional_headers={"Authorization": f"Bearer {token}"})


def hear(socket, workitem, event_type, state=None):
    ds = Dataset.from_json(json.loads(socket.recv(timeout=30)))
    # Behind each event comes a ping: what is not answered is told again.
    assert socket.ping().wait(10)
    assert (ds[0x00001000].value, ds[0x00001002].value) == (workitem, event_type), ds
    assert state in (None, ds.get("ProcedureStepState")), ds
    return ds


# Who is nobody gets nothing.
assert requests.get(f"{base}/workitems").status_code == 401

# Created under a UID of its own or a given one, once; what is no workitem is refused with a reason.
first, second, third = generate_uid(), generate_uid(), generate_uid()
answer = web.post(f"{base}/workitems?{first}", data=json.dumps([scheduled().to_json_dict()]),
                  headers={"Content-Type": "application/dicom+json"})
assert answer.status_code == 201 and answer.headers["Location"] == f"{base}/workitems/{first}", answer.text
assert ask("POST", "/workitems", scheduled(), AffectedSOPInstanceUID=first).status_code == 409
assert ask("POST", "/workitems", scheduled(SOPInstanceUID=second)).status_code == 201
made = ask("POST", "/workitems", scheduled("Made by us"))
assert made.status_code == 201 and UID(made.headers["Location"].rsplit("/", 1)[1]).is_valid
no_label = scheduled()
del no_label.ProcedureStepLabel
answer = ask("POST", "/workitems", no_label)
assert answer.status_code == 400 and "ProcedureStepLabel" in answer.json()["detail"], answer.text
assert web.post(f"{base}/workitems", data="<xml/>", headers={"Content-Type": "text/xml"}).status_code == 415
assert ask("POST", "/workitems", scheduled(ProcedureStepState="IN PROGRESS")).status_code == 409

# Retrieved and searched, by keyword, tag and wildcard; nothing is 204.
answer = ask("GET", f"/workitems/{first}")
ds = Dataset.from_json(answer.json()[0])
assert (ds.PatientName.ideographic, ds.ProcedureStepState) == ("王^小东", "SCHEDULED")
assert "TransactionUID" not in ds or not ds.TransactionUID
assert ask("GET", f"/workitems/{third}").status_code == 404
assert ask("GET", "/workitems/no-uid").status_code == 400
for parameters, count in [({"ProcedureStepLabel": "Lung*"}, 2), ({"00741204": "Made*"}, 1), ({"limit": "1"}, 1),
                          ({"limit": "5", "offset": "2"}, 1), ({"PatientName": "wang xiaodong", "fuzzymatching": "true"}, 3)]:
    answer = ask("GET", "/workitems", **parameters)
    assert answer.status_code == 200 and len(answer.json()) == count, (parameters, answer.text)
assert ask("GET", "/workitems", ProcedureStepState="COMPLETED").status_code == 204
assert ask("GET", "/workitems", Colour="red").status_code == 400

# Subscriptions: to one, with its state at once; to those that match and will come.
answer = ask("POST", f"/workitems/{first}/subscribers/EMR%201", deletionlock="true")
assert answer.status_code == 201, answer.text
place = answer.headers["Content-Location"]
assert place.startswith("ws://") and place.endswith("/subscribers/EMR%201"), place
assert ask("POST", f"/workitems/{FILTERED}/subscribers/EMR%201", filter="ProcedureStepLabel=Bone age").status_code == 201
assert ask("POST", f"/workitems/{third}/subscribers/EMR%201").status_code == 404
assert ask("POST", f"/workitems/{FILTERED}/subscribers/EMR%201", filter="Colour=red").status_code == 400
with channel(place) as socket:
    hear(socket, first, 1, "SCHEDULED")
    assert ask("POST", "/workitems", scheduled("Other"), AffectedSOPInstanceUID=generate_uid()).status_code == 201
    assert ask("POST", "/workitems", scheduled("Bone age"), AffectedSOPInstanceUID=third).status_code == 201
    hear(socket, third, 1, "SCHEDULED")

    # Claimed over DIMSE, changed over HTTP with the performer's Transaction UID only.
    ae = AE("AI")
    for sop_class in (Push, Pull):
        ae.add_requested_context(sop_class)
    association = ae.associate("127.0.0.1", port, ae_title="YINGHAI")
    assert association.is_established
    mine = generate_uid()
    claim = keys(ProcedureStepState="IN PROGRESS", TransactionUID=mine)
    assert association.send_n_action(claim, 1, Push, first, meta_uid=Pull)[0].Status == 0x0000
    hear(socket, first, 1, "IN PROGRESS")
    progress = Dataset()
    progress.ProcedureStepProgress = 50
    change = keys(ProcedureStepProgressInformationSequence=[progress])
    assert ask("POST", f"/workitems/{first}", change).status_code == 400
    assert ask("POST", f"/workitems/{first}", change, **{"transaction-uid": generate_uid()}).status_code == 400
    assert ask("POST", f"/workitems/{first}", change, **{"transaction-uid": mine}).status_code == 200
    ds = hear(socket, first, 3)
    assert ds.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress == 50

    # A cancellation is asked of the performer, who is told.
    answer = ask("POST", f"/workitems/{first}/cancelrequest/RIS", keys(ReasonForCancellation="moved"))
    assert answer.status_code == 202, answer.text
    assert hear(socket, first, 2).ReasonForCancellation == "moved"

# What happens while the watcher is away is told when it is back.
state = keys(ProcedureStepState="CANCELED", TransactionUID=mine)
assert ask("PUT", f"/workitems/{first}/state/AI", keys(ProcedureStepState="COMPLETED", TransactionUID=mine)).status_code == 409
assert ask("PUT", f"/workitems/{first}/state/AI", state).status_code == 200
answer = ask("PUT", f"/workitems/{first}/state", state)
assert answer.status_code == 200 and "CANCELED" in answer.headers["Warning"], answer.headers
with channel(place) as socket:
    hear(socket, first, 1, "CANCELED")
    # Claimed over HTTP: by one only.
    claim = keys(ProcedureStepState="IN PROGRESS", TransactionUID=generate_uid())
    assert ask("PUT", f"/workitems/{third}/state/AI", claim).status_code == 200
    again = keys(ProcedureStepState="IN PROGRESS", TransactionUID=generate_uid())
    assert ask("PUT", f"/workitems/{third}/state/OTHER", again).status_code == 409
    hear(socket, third, 1, "IN PROGRESS")
    assert association.send_n_get([0x00741000], Push, third, meta_uid=Push)[1].ProcedureStepState == "IN PROGRESS"
    # Cancelled at once while nobody is at work on it.
    assert ask("POST", f"/workitems/{second}/cancelrequest").status_code == 202
    assert Dataset.from_json(ask("GET", f"/workitems/{second}").json()[0]).ProcedureStepState == "CANCELED"
    # Ended and suspended.
    assert ask("POST", f"/workitems/{FILTERED}/subscribers/EMR%201/suspend").status_code == 200
    assert ask("POST", f"/workitems/{first}/subscribers/EMR%201/suspend").status_code == 409
    assert ask("DELETE", f"/workitems/{third}/subscribers/EMR%201").status_code == 200
    assert ask("POST", "/workitems", scheduled("Bone age"), AffectedSOPInstanceUID=generate_uid()).status_code == 201
    try:
        raise AssertionError(socket.recv(timeout=2))
    except TimeoutError:
        pass
association.release()
print("all is well")
