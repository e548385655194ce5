// dcmjs-dimse as a modality and workstation: C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE to itself, a performed procedure step.
//
// usage: node dcmjs_dimse.mjs PORT OWN_PORT FILE...
// DCMJS is configured at the server as an AE on OWN_PORT that may do all this.
import { createRequire } from 'node:module';
import { createHash, randomBytes } from 'node:crypto';

const require = createRequire(import.meta.url);
const { Client, Dataset, Scp, Server, constants, requests, responses, Transcoding, log } = require('dcmjs-dimse');
const { PresentationContextResult, SopClass, Status, StorageClass, TransferSyntax } = constants;
log.setLevel('error');

const [port, ownPort, ...files] = process.argv.slice(2);
const [ours, theirs] = ['DCMJS', 'YINGHAI'];

function fail(what) {
  console.error(what);
  process.exit(1);
}

// One or more requests over an association, to its end; what was answered to each.
function ask(asked, onStore) {
  return new Promise((resolve, reject) => {
    const client = new Client();
    const answers = asked.map(() => []);
    asked.forEach((request, index) => {
      request.on('response', (response) => answers[index].push(response));
      client.addRequest(request);
    });
    client.on('cStoreRequest', (request, callback) => {
      onStore(request.getDataset());
      const response = responses.CStoreResponse.fromRequest(request);
      response.setStatus(Status.Success);
      callback(response);
    });
    client.on('networkError', reject);
    client.on('associationRejected', (rejected) => reject(new Error(`rejected: ${JSON.stringify(rejected)}`)));
    client.on('closed', () => resolve(answers));
    client.send('127.0.0.1', Number(port), ours, theirs);
  });
}

function statusOf(answers, what) {
  const last = answers.at(-1);
  if (!last || last.getStatus() !== Status.Success) {
    fail(`${what}: status ${last?.getStatus()?.toString(16)}, ${last?.getErrorComment?.()}`);
  }
  return last;
}

const native = [TransferSyntax.ImplicitVRLittleEndian, TransferSyntax.ExplicitVRLittleEndian];

// A digest of the pixel data, as it is encoded; of the transfer syntax too where that says how.
function pixels(dataset) {
  const value = dataset.getElements().PixelData;
  const hash = createHash('sha256');
  for (const piece of Array.isArray(value) ? value : [value]) hash.update(Buffer.from(piece));
  const syntax = dataset.getTransferSyntaxUid();
  return `${native.includes(syntax) ? 'native' : syntax} ${hash.digest('hex')}`;
}

// The same of what dcmjs-codecs decodes.
function decoded(dataset) {
  const isNative = native.includes(dataset.getTransferSyntaxUid());
  return pixels(isNative ? dataset : Transcoding.transcodeDataset(dataset, TransferSyntax.ExplicitVRLittleEndian));
}

class Receiver extends Scp {
  associationRequested(association) {
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      const [first] = context.getTransferSyntaxUids();
      context.setResult(PresentationContextResult.Accept, first);
    }
    this.sendAssociationAccept();
  }

  cEchoRequest(request, callback) {
    const response = responses.CEchoResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  }

  cStoreRequest(request, callback) {
    Receiver.received(request.getDataset());
    const response = responses.CStoreResponse.fromRequest(request);
    response.setStatus(Status.Success);
    callback(response);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }
}

function compare(sent, received, how) {
  for (const [uid, expected] of sent) {
    if (received.get(uid) !== expected) {
      fail(`${how}: ${uid} is ${received.get(uid)}, was ${expected}`);
    }
  }
  console.log(`${sent.size} instances with the same pixels by ${how}`);
}

await Transcoding.initializeAsync();
const [[echoed]] = await ask([new requests.CEchoRequest()]);
statusOf([echoed], 'C-ECHO');
console.log('C-ECHO answered');

const [sent, plain] = [new Map(), new Map()];
const studies = new Set();
for (const file of files) {
  const dataset = Dataset.fromFile(file);
  const [answers] = await ask([new requests.CStoreRequest(dataset)]);
  statusOf(answers, `C-STORE ${file}`);
  sent.set(dataset.getElement('SOPInstanceUID'), pixels(Dataset.fromFile(file)));
  plain.set(dataset.getElement('SOPInstanceUID'), decoded(Dataset.fromFile(file)));
  studies.add(dataset.getElement('StudyInstanceUID'));
}
console.log(`${sent.size} instances sent`);

const [found] = await ask([requests.CFindRequest.createStudyFindRequest({ PatientName: '', StudyDescription: '' })]);
statusOf(found, 'C-FIND');
const uids = found.filter((answer) => answer.hasDataset()).map((a) => a.getDataset().getElement('StudyInstanceUID'));
if ([...studies].some((study) => !uids.includes(study)) || uids.length !== studies.size) {
  fail(`C-FIND: ${uids}, not ${[...studies]}`);
}
let images = 0;
for (const study of studies) {
  const [series] = await ask([requests.CFindRequest.createSeriesFindRequest({ StudyInstanceUID: study, Modality: '' })]);
  for (const one of series.filter((answer) => answer.hasDataset())) {
    const keys = { StudyInstanceUID: study, SeriesInstanceUID: one.getDataset().getElement('SeriesInstanceUID') };
    const [instances] = await ask([requests.CFindRequest.createImageFindRequest({ ...keys, SOPInstanceUID: '' })]);
    images += instances.filter((answer) => answer.hasDataset()).length;
  }
}
console.log(`${uids.length} studies and ${images} images found`);

// dcmjs-dimse asks for one context a SOP Class: all that is encapsulated comes decoded.
const got = new Map();
for (const study of studies) {
  const get = requests.CGetRequest.createStudyGetRequest(study);
  const [answers] = await ask([get], (dataset) => got.set(dataset.getElement('SOPInstanceUID'), pixels(dataset)));
  statusOf(answers, 'C-GET');
}
compare(plain, got, 'C-GET');

const moved = new Map();
Receiver.received = (dataset) => moved.set(dataset.getElement('SOPInstanceUID'), pixels(dataset));
const server = new Server(Receiver);
server.on('networkError', (error) => fail(`the receiver: ${error}`));
server.listen(Number(ownPort));
for (const study of studies) {
  const [answers] = await ask([requests.CMoveRequest.createStudyMoveRequest(ours, study)]);
  const last = statusOf(answers, 'C-MOVE');
  if (last.getFailures() !== 0) fail(`C-MOVE: ${last.getFailures()} failed`);
}
server.close();
compare(sent, moved, 'C-MOVE');

const [unknown] = await ask([requests.CMoveRequest.createStudyMoveRequest('NOBODY', [...studies][0])]);
console.log(`C-MOVE to nobody: ${unknown.at(-1).getStatus().toString(16)}`);

const step = `2.25.${BigInt(`0x${randomBytes(16).toString('hex')}`)}`;
const create = new requests.NCreateRequest(SopClass.ModalityPerformedProcedureStep, step);
create.setDataset(
  new Dataset({
    Modality: 'CT',
    PatientID: 'DCMJS1',
    PatientName: 'Peer^Node',
    PerformedProcedureStepID: 'PPS1',
    PerformedProcedureStepStartDate: '20261128',
    PerformedProcedureStepStartTime: '120000',
    PerformedProcedureStepStatus: 'IN PROGRESS',
    PerformedStationAETitle: ours,
    ScheduledStepAttributesSequence: [{ StudyInstanceUID: [...studies][0], ScheduledProcedureStepID: '' }],
    PerformedSeriesSequence: [],
  })
);
statusOf((await ask([create]))[0], 'N-CREATE');
const set = new requests.NSetRequest(SopClass.ModalityPerformedProcedureStep, step);
set.setDataset(
  new Dataset({
    PerformedProcedureStepStatus: 'COMPLETED',
    PerformedProcedureStepEndDate: '20261128',
    PerformedProcedureStepEndTime: '121500',
    PerformedSeriesSequence: [{ SeriesInstanceUID: '1.2.3', ProtocolName: 'THORAX' }],
  })
);
statusOf((await ask([set]))[0], 'N-SET');
const again = new requests.NSetRequest(SopClass.ModalityPerformedProcedureStep, step);
again.setDataset(new Dataset({ PerformedProcedureStepStatus: 'IN PROGRESS' }));
const [refused] = await ask([again]);
console.log(`step ${step} completed; once more: ${refused.at(-1).getStatus().toString(16)}`);
process.exit(0);
