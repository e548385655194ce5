//! The study, series or instance that a path names.

use crate::{error::WebError, web::Web};
use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use pacs_core::Uid;
use std::{collections::HashMap, sync::Arc};
use storage::StoredInstance;

/// UIDs of the path, and the other pieces of it as text.
#[derive(Debug, Default)]
pub struct Resource {
    study: Option<Uid>,
    pub series: Option<Uid>,
    pub sop_instance: Option<Uid>,
    others: HashMap<String, String>,
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
                "instance" => resource.sop_instance = Some(uid()?),
                _ => _ = resource.others.insert(name.to_owned(), value.to_owned()),
            }
        }
        Ok(resource)
    }
}

impl Resource {
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
        let found = web.archive.instances(study, self.series.as_ref(), self.sop_instance.as_ref()).await?;
        if found.is_empty() { Err(self.absent()) } else { Ok(found) }
    }

    /// The one instance of the path, from memory if it was asked for a moment ago.
    pub async fn instance(&self, web: &Web) -> Result<Arc<StoredInstance>, WebError> {
        let uid = self.sop_instance.as_ref().ok_or_else(|| self.absent())?;
        let found = match web.instances.get(uid) {
            Some(instance) => instance,
            None => {
                let instance = Arc::new(web.archive.instance(uid).await?);
                web.instances.put(uid.clone(), Arc::clone(&instance));
                instance
            }
        };
        let here = self.study.as_ref() == Some(&found.study) && self.series.as_ref() == Some(&found.series);
        if here { Ok(found) } else { Err(self.absent()) }
    }

    fn absent(&self) -> WebError {
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
