//! Retrieve Capabilities (PS3.18 §8.9): a description of what is served, made from the table that the router is made from.

use crate::{
    error::WebError,
    respond::accepted,
    transactions::{Transaction, transactions},
    web::Web,
};
use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
    routing::options,
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const WADL: &str = "application/vnd.sun.wadl+xml";
const JSON: &str = "application/json";
const NAMESPACE: &str = "http://wadl.dev.java.net/2009/02";
/// Where DICOMweb is nested.
pub const BASE: &str = "/dicom-web";

/// `OPTIONS` on the base and on each resource, below the base.
pub fn routes() -> Router<Web> {
    let paths: BTreeSet<String> = transactions().into_iter().map(|transaction| transaction.path).collect();
    paths
        .into_iter()
        .fold(base(), |routes, path| routes.route(&path, options(retrieve).layer(Extension(Target(path.clone())))))
}

/// `OPTIONS` on the base alone.
pub fn base() -> Router<Web> {
    Router::new().route("/", options(retrieve).layer(Extension(Target("/".to_owned()))))
}

/// The path of a resource, below the base.
#[derive(Clone)]
struct Target(String);

async fn retrieve(
    State(web): State<Web>,
    Extension(Target(target)): Extension<Target>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let offered = [WADL, JSON];
    let choose = |one: &crate::media_type::Acceptable| {
        offered.into_iter().find(|offered| !one.multipart && one.media.covers(offered))
    };
    let content_type = accepted(&headers, &[]).iter().find_map(choose);
    let content_type = content_type.ok_or_else(|| WebError::not_acceptable(&offered.join(", ")))?;
    let described = application(&web.base(&uri, &headers)?, &target);
    let body = if content_type == WADL { described.xml() } else { described.json() };
    let kind = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "private, no-cache")];
    Ok((kind, [(header::ALLOW, allowed(&target))], body).into_response())
}

/// The methods of a resource (RFC 9110 §9.3.7).
fn allowed(target: &str) -> String {
    let own = transactions().into_iter().filter(|transaction| transaction.path == target);
    let methods: BTreeSet<_> = own.map(|transaction| transaction.kind.method().to_string()).collect();
    methods.into_iter().chain(["OPTIONS".to_owned()]).collect::<Vec<_>>().join(", ")
}

/// The Capabilities Description of a resource and all below it (PS3.18 Annex H).
fn application(base: &str, target: &str) -> Element {
    let segments = |path: &str| -> Vec<String> {
        path.split('/').filter(|segment| !segment.is_empty()).map(ToOwned::to_owned).collect()
    };
    let target = segments(target);
    let mut root = Resource::default();
    for transaction in transactions() {
        let path = segments(&transaction.path);
        if let Some(below) = path.strip_prefix(target.as_slice()) {
            root.insert(below, transaction);
        }
    }
    let resources = if target.is_empty() {
        root.children.iter().map(Resource::element).collect()
    } else {
        root.segment = target.join("/");
        vec![root.element()]
    };
    let resources = Element::new("resources", [("base", format!("{base}/"))], resources);
    Element::new("application", [("xmlns", NAMESPACE.to_owned())], vec![resources])
}

/// A resource with its methods, and those below it.
#[derive(Default)]
struct Resource {
    segment: String,
    transactions: Vec<Transaction>,
    children: Vec<Resource>,
}

impl Resource {
    fn insert(&mut self, path: &[String], transaction: Transaction) {
        let Some((first, rest)) = path.split_first() else { return self.transactions.push(transaction) };
        let at = self.children.iter().position(|child| child.segment == *first);
        let at = at.unwrap_or_else(|| {
            self.children.push(Self { segment: first.clone(), ..Self::default() });
            self.children.len() - 1
        });
        if let Some(child) = self.children.get_mut(at) {
            child.insert(rest, transaction);
        }
    }

    fn element(&self) -> Element {
        // A path of several segments has its star inside the braces for the router only.
        let path = self.segment.replace("{*", "{");
        let variables = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let variables = variables.map(|name| parameter(name, "template"));
        let methods = self.transactions.iter().map(method);
        let children = variables.chain(methods).chain(self.children.iter().map(Self::element)).collect();
        Element::new("resource", [("path", path.clone())], children)
    }
}

fn method(transaction: &Transaction) -> Element {
    let kind = transaction.kind;
    let representations = |types: Vec<String>| {
        types.into_iter().map(|media| Element::new("representation", [("mediaType", media)], vec![]))
    };
    let parameters = kind.parameters().iter().map(|name| parameter(name, "query"));
    let request = Element::new("request", [], parameters.chain(representations(kind.takes())).collect());
    let response = Element::new("response", [], representations(kind.gives()).collect());
    let id: String = transaction.name.split(|c: char| !c.is_ascii_alphanumeric()).map(capitalised).collect();
    Element::new("method", [("name", kind.method().to_string()), ("id", id)], vec![request, response])
}

fn parameter(name: &str, style: &str) -> Element {
    let kind =
        if ["limit", "offset", "version", "quality"].contains(&name) { "xs:nonNegativeInteger" } else { "xs:string" };
    Element::new("param", [("name", name.to_owned()), ("style", style.to_owned()), ("type", kind.to_owned())], vec![])
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// An element of the description.
struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Element>,
}

impl Element {
    fn new(name: &'static str, attributes: impl Into<Vec<(&'static str, String)>>, children: Vec<Self>) -> Self {
        Self { name, attributes: attributes.into(), children }
    }

    fn xml(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write(&mut text, 0);
        text
    }

    fn write(&self, text: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        let attributes: String =
            self.attributes.iter().map(|(name, value)| format!(" {name}=\"{}\"", escaped(value))).collect();
        let names = if depth == 0 { " xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"" } else { "" };
        *text += &format!("{indent}<{}{attributes}{names}", self.name);
        if self.children.is_empty() {
            *text += "/>\n";
            return;
        }
        *text += ">\n";
        self.children.iter().for_each(|child| child.write(text, depth + 1));
        *text += &format!("{indent}</{}>\n", self.name);
    }

    /// Attributes are members, and so are the children: of each name a list.
    fn json(&self) -> String {
        Value::Object(Map::from_iter([(self.name.to_owned(), self.value())])).to_string()
    }

    fn value(&self) -> Value {
        let attributes = self.attributes.iter().filter(|(name, _)| *name != "xmlns");
        let mut members: Map<String, Value> =
            attributes.map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
        for child in &self.children {
            if let Value::Array(list) = members.entry(child.name).or_insert_with(|| Value::Array(Vec::new())) {
                list.push(child.value());
            }
        }
        Value::Object(members)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_attribute() {
        let text = Element::new("resources", [("base", "http://a/?\"><x&".to_owned())], vec![]).xml();
        assert!(text.ends_with(
            "<resources base=\"http://a/?&quot;&gt;&lt;x&amp;\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\"/>\n"
        ));
    }

    #[test]
    fn every_method_has_a_name_of_its_own() {
        let all = transactions();
        let names: BTreeSet<_> = all.iter().map(|transaction| transaction.name.to_lowercase()).collect();
        assert_eq!(names.len(), all.len());
        let ways: BTreeSet<_> = all.iter().map(|one| (one.kind.method().to_string(), &one.path)).collect();
        assert_eq!(ways.len(), all.len());
    }
}
