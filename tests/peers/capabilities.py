"""Reads the Capabilities Description of PS3.18 8.9 as XML, asks for everything that it lists, and compares a conformance
statement with pydicom's dictionary.

usage: capabilities.py BASE TOKEN STATEMENT
"""

import re
import sys
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree

from pydicom._uid_dict import UID_dictionary

NAMESPACE = "{http://wadl.dev.java.net/2009/02}"


def ask(method, url, token):
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def methods(resource, above):
    path = above.rstrip("/") + "/" + resource.get("path")
    declared = {p.get("name") for p in resource.findall(NAMESPACE + "param") if p.get("style") == "template"}
    assert declared == set(re.findall(r"\{(\w+)\}", resource.get("path"))), path
    for method in resource.findall(NAMESPACE + "method"):
        yield method.get("name"), path, method
    for child in resource.findall(NAMESPACE + "resource"):
        yield from methods(child, path)


def walk(base, token):
    status, body = ask("OPTIONS", base, token)
    assert status == 200, status
    application = ElementTree.fromstring(body)
    assert application.tag == NAMESPACE + "application", application.tag
    (resources,) = application.findall(NAMESPACE + "resources")
    assert resources.get("base").rstrip("/") == base.rstrip("/"), resources.get("base")
    identities, count = set(), 0
    for resource in resources:
        for name, path, method in methods(resource, resources.get("base")):
            assert method.get("id") not in identities, method.get("id")
            identities.add(method.get("id"))
            status, _ = ask(name, re.sub(r"\{\w+\}", "x", path), token)
            assert status not in (404, 405) and status < 500, (name, path, status)
            count += 1
    return count


def classes(text):
    """Storage SOP Classes of the last chapter: UID -> (name, retired)."""
    rows = re.findall(r"^\| ([^|]+?) \| `([0-9.]+)` \| (?:Storage|Non-Patient Object Storage) \|$", text, re.M)
    return {uid: (name.removesuffix(" (Retired)"), name.endswith("(Retired)")) for name, uid in rows}


def compare(text):
    stated = classes(text)
    known = 0
    for uid, (name, kind, _, retired, _) in UID_dictionary.items():
        is_storage = kind == "SOP Class" and "Storage" in name and "Commitment" not in name and "Media" not in name
        if is_storage:
            expected = (name.removesuffix(" SOP Class"), retired == "Retired")
            assert stated.get(uid) == expected, (uid, expected, stated.get(uid))
            known += 1
    services = [uid for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class" and "Storage" not in entry[0]]
    assert not [uid for uid in services if uid in stated]
    return known, len(stated)


def main(base, token, statement):
    print(f"{walk(base, token)} methods answered")
    with open(statement, encoding="utf-8") as file:
        known, stated = compare(file.read())
    print(f"{known} of pydicom's classes among {stated} stated")


main(*sys.argv[1:])
