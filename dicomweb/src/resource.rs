//! The study, series or instance that a path names.

use crate::{error::WebError, web::Web};
use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::{Uri, request::Parts},
};
use pacs_core::Uid;
use std::{collections::HashMap, sync::Arc};
use storage::StoredInstance;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// UIDs of the path, the version that the query names, and the other pieces of the path as text.
#[derive(Debug, Default)]
pub struct Resource {
    study: Option<Uid>,
    pub series: Option<Uid>,
    pub sop_instance: Option<Uid>,
    /// Of several contents held under the SOP Instance UID; unset: the current one.
    pub version: Option<u32>,
    /// The time at which it is to be seen; unset: now.
    pub as_of: Option<AsOf>,
    others: HashMap<String, String>,
}

/// A time in the past.
#[derive(Debug, Clone, PartialEq)]
pub struct AsOf {
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    /// As it is written in a query.
    text: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Resource {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, WebError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| WebError::bad_request("the path is not UTF-8"))?;
        let mut resource = Self::default();
        for (name, value) in &params {
            let uid = || value.parse().map_err(|reason| WebError::bad_request(format!("{name}: {reason}")));
            match name {
                "study" => resource.study = Some(uid()?),
                "series" => resource.series = Some(uid()?),
                "instance" | "object" => resource.sop_instance = Some(uid()?),
                _ => _ = resource.others.insert(name.to_owned(), value.to_owned()),
            }
        }
        resource.version = version(parts.uri.query().unwrap_or_default())?;
        resource.as_of = as_of(&parts.uri)?;
        match (resource.version, &resource.as_of, &resource.sop_instance) {
            (Some(_), None, None) => Err(WebError::bad_request("only an instance has versions")),
            (Some(_), Some(_), _) => Err(WebError::bad_request("ask for a version or a time, not both")),
            _ => Ok(resource),
        }
    }
}

/// `version=N` of a query, an extension: versions are counted from 1.
fn version(query: &str) -> Result<Option<u32>, WebError> {
    let Some(text) = query.split('&').find_map(|pair| pair.strip_prefix("version=")) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| WebError::bad_request("version is a number from 1"))
}

/// `asOf=TIME` of a query, an extension: what was to be seen at that time.
fn as_of(uri: &Uri) -> Result<Option<AsOf>, WebError> {
    let Ok(Query(parameters)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else { return Ok(None) };
    let Some((_, text)) = parameters.into_iter().find(|(name, _)| name == "asOf") else { return Ok(None) };
    // A plus sign that was not escaped is read as a space.
    let time = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339);
    let time = time.map_err(|_| WebError::bad_request("asOf is a time such as 2026-11-24T10:00:00Z"))?;
    let at = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Ok(Some(AsOf { at, text: time.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_default() }))
}

impl Resource {
    /// An instance, and of its frames (from 1) one, where that is named.
    pub fn of(study: Uid, series: Uid, sop_instance: Uid, frame: Option<&str>) -> Self {
        let others = frame.map(|frame| ("frames".to_owned(), frame.to_owned())).into_iter().collect();
        let (study, series, sop_instance) = (Some(study), Some(series), Some(sop_instance));
        Self { study, series, sop_instance, others, ..Self::default() }
    }

    /// The study, where the resource lies in one.
    pub fn parent(&self) -> Option<&Uid> {
        self.study.as_ref()
    }

    /// The study of a route that names one.
    pub fn study(&self) -> Result<&Uid, WebError> {
        self.study.as_ref().ok_or_else(|| WebError::not_found("the path names no study"))
    }

    pub fn segment(&self, name: &str) -> &str {
        self.others.get(name).map_or("", String::as_str)
    }

    /// Its instances, at least one.
    pub async fn instances(&self, web: &Web) -> Result<Vec<StoredInstance>, WebError> {
        let study = self.study()?;
        if self.version.is_some() {
            return Ok(vec![self.instance(web).await?.as_ref().clone()]);
        }
        let (series, sop_instance) = (self.series.as_ref(), self.sop_instance.as_ref());
        let found = match &self.as_of {
            Some(AsOf { at, .. }) => web.archive.instances_as_of(study, series, sop_instance, *at).await?,
            None => web.archive.instances(study, series, sop_instance).await?,
        };
        if found.is_empty() {
            return Err(self.absent());
        }
        web.archive.reach(&found).await?;
        Ok(found)
    }

    /// The one instance of the path, from memory if it was asked for a moment ago and nothing has happened since.
    pub async fn instance(&self, web: &Web) -> Result<Arc<StoredInstance>, WebError> {
        let (study, series, sop_instance) = self.identity()?;
        let at = self.as_of.as_ref().map(|as_of| as_of.at);
        let key = (study.clone(), series.clone(), sop_instance.clone(), self.version, at);
        // Taken before the look-up: what happens meanwhile makes the entry old.
        let newest = *web.archive.newest_event().borrow();
        if let Some((_, instance)) = web.instances.get(&key).filter(|(position, _)| *position == newest) {
            return Ok(instance);
        }
        let instance = match at {
            Some(at) => {
                let found = web.archive.instances_as_of(study, Some(series), Some(sop_instance), at).await?;
                found.into_iter().next().ok_or_else(|| self.absent())?
            }
            None => web.archive.instance(study, series, sop_instance, self.version).await?,
        };
        let instance = Arc::new(instance);
        web.archive.reach([instance.as_ref()]).await?;
        web.instances.put(key, (newest, Arc::clone(&instance)));
        Ok(instance)
    }

    /// As [`Self::instance`], of one whose bytes are to be read, or were once: refused where they are damaged.
    pub async fn sound_instance(&self, web: &Web) -> Result<Arc<StoredInstance>, WebError> {
        let instance = self.instance(web).await?;
        web.archive.refuse_damaged(&instance)?;
        Ok(instance)
    }

    /// Those whose bytes are not known to be damaged; an error if there are some, and all are.
    pub fn sound(web: &Web, instances: Vec<StoredInstance>) -> Result<Vec<StoredInstance>, WebError> {
        let first = instances.first().map(|first| web.archive.refuse_damaged(first));
        let sound: Vec<_> = instances.into_iter().filter(|one| web.archive.refuse_damaged(one).is_ok()).collect();
        match first {
            Some(Err(error)) if sound.is_empty() => Err(error.into()),
            _ => Ok(sound),
        }
    }

    /// Study, series and SOP Instance UID of a route that names all three.
    pub fn identity(&self) -> Result<(&Uid, &Uid, &Uid), WebError> {
        match (&self.study, &self.series, &self.sop_instance) {
            (Some(study), Some(series), Some(sop_instance)) => Ok((study, series, sop_instance)),
            _ => Err(self.absent()),
        }
    }

    /// The SOP Instance UID of a route that names one.
    pub fn object(&self) -> Result<&Uid, WebError> {
        self.sop_instance.as_ref().ok_or_else(|| self.absent())
    }

    /// What follows the address of something in it, so that it is of the same version or time.
    pub fn version_query(&self) -> String {
        match (self.version, &self.as_of) {
            (Some(number), _) => format!("?version={number}"),
            (None, Some(AsOf { text, .. })) => format!("?asOf={text}"),
            (None, None) => String::new(),
        }
    }

    pub fn absent(&self) -> WebError {
        let (kind, uid) = match (&self.sop_instance, &self.series, &self.study) {
            (Some(uid), _, _) => ("instance", uid.as_str()),
            (None, Some(uid), _) => ("series", uid.as_str()),
            (None, None, Some(uid)) => ("study", uid.as_str()),
            (None, None, None) => ("resource", ""),
        };
        WebError::not_found(format!("{kind} {uid} is not in the archive"))
    }
}

/// Path of an instance under the base.
pub fn path(instance: &StoredInstance) -> String {
    format!("studies/{}/series/{}/instances/{}", instance.study, instance.series, instance.sop_instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_people_write_it() {
        let as_of = |query: &str| as_of(&format!("/studies/1.2?{query}").parse().unwrap());
        let at = |query: &str| as_of(query).map(|as_of| as_of.map(|as_of| as_of.at));
        assert_eq!(at("version=1").unwrap(), None);
        for query in
            ["asOf=1970-01-01T00:00:01Z", "a=b&asOf=1970-01-01T08:00:01%2B08:00", "asOf=1970-01-01T08:00:01+08:00"]
        {
            assert_eq!(at(query).unwrap(), Some(1000), "{query}");
        }
        for query in ["asOf=", "asOf=yesterday", "asOf=2026-11-24"] {
            assert_eq!(at(query).unwrap_err().failure().http(), 400, "{query}");
        }
    }

    #[test]
    fn versions_count_from_one() {
        for (query, expected) in
            [("", None), ("accept=*/*", None), ("version=1", Some(1)), ("a=b&version=12", Some(12))]
        {
            assert_eq!(version(query).unwrap(), expected, "{query}");
        }
        for query in ["version=", "version=0", "version=-1", "version=x", "version=99999999999"] {
            assert_eq!(version(query).unwrap_err().failure().http(), 400, "{query}");
        }
    }
}
