// A FHIR R4 server that takes what two validators accept and forgets the rest of the standard.
//
//     fhir_receiver.mjs PORT OUTDIR [--fail N]
//
// POST of a transaction Bundle to the base, or PUT of TYPE/ID: valid resources are kept as OUTDIR/TYPE-KEY.json, the key
// being the id or the value of the last identifier of the request (a second delivery replaces the first), and answered
// 200 or 201; others get 422 with an OperationOutcome that quotes both libraries. --fail N: the first N requests get 503.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { argv } from 'node:process';
import { objections } from './validate_fhir.mjs';

const [port, folder] = argv.slice(2);
let failures = argv[4] === '--fail' ? Number(argv[5]) : 0;
mkdirSync(folder, { recursive: true });

function outcome(code, texts) {
  const issue = texts.map((text) => ({ severity: 'error', code, diagnostics: text }));
  return { resourceType: 'OperationOutcome', issue };
}

function keep(resource, key) {
  const name = `${resource.resourceType}-${key.replace(/[^A-Za-z0-9.-]+/g, '_')}.json`;
  // Renamed into place, so that nobody who watches the folder sees half a resource.
  const part = join(folder, `.${name}.part`);
  writeFileSync(part, JSON.stringify(resource, null, 2));
  renameSync(part, join(folder, name));
}

function transaction(bundle) {
  const entry = bundle.entry.map(({ resource, request }) => {
    const query = new URLSearchParams(request.ifNoneExist ?? request.url.split('?')[1]);
    keep(resource, query.get('identifier').split('|')[1]);
    return { response: { status: request.method === 'POST' ? '201 Created' : '200 OK' } };
  });
  return [200, { resourceType: 'Bundle', type: 'transaction-response', entry }];
}

function put(path, resource) {
  const [type, id] = path.split('/').slice(-2);
  if (type !== resource.resourceType || id !== resource.id) return [400, outcome('invalid', [`${path} is not the resource's own URL`])];
  keep(resource, id);
  return [201, resource];
}

function answer(method, path, text) {
  if (failures-- > 0) return [503, outcome('transient', ['asked to fail'])];
  const resource = JSON.parse(text);
  const found = objections(resource);
  if (found.length) return [422, outcome('invalid', found)];
  if (method === 'POST' && resource.resourceType === 'Bundle') return transaction(resource);
  if (method === 'PUT') return put(path, resource);
  return [405, outcome('not-supported', [`${method} ${path}`])];
}

createServer(async (request, response) => {
  let status, body;
  try {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    [status, body] = answer(request.method, request.url, Buffer.concat(pieces).toString('utf8'));
  } catch (error) {
    [status, body] = [400, outcome('structure', [String(error)])];
  }
  console.log(`${request.method} ${request.url}: ${status} ${status >= 400 ? JSON.stringify(body) : ''}`);
  response.writeHead(status, { 'content-type': 'application/fhir+json' }).end(JSON.stringify(body));
}).listen(Number(port), '127.0.0.1', () => console.log(`listening on 127.0.0.1:${port}`));
