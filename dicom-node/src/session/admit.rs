//! Who asks for an association, whether it gets one, and with what rights.

use super::{Association, Session, commitment};
use crate::{
    association::{
        machine::Event,
        negotiate::{self, Refusal},
        policy,
        roles::{self, Credentials},
    },
    dimse::Assembler,
    pdu::{AssociateRj, AssociateRq},
    wire::{self, Transport},
};
use futures::stream::FuturesUnordered;
use pacs_core::{Failure, Fingerprint};
use std::{collections::BTreeSet, sync::Arc};
use storage::{AuditAction, AuditRecord, Principal};

impl<S: Transport> Session<S> {
    /// The answer to a request for an association, which is audited where it is a refusal.
    pub(super) async fn judge(&mut self, rq: &AssociateRq) -> Event {
        match self.admit(rq).await {
            Ok(event) => event,
            Err(refusal) => {
                let reason = match refusal {
                    Refusal::Reject(rj) => rj.reason_text(),
                    Refusal::Abort(abort) => abort.reason_text(),
                };
                tracing::warn!(calling = rq.calling, called = rq.called, reason, "association refused");
                self.audit_refusal(rq, reason).await;
                match refusal {
                    Refusal::Reject(rj) => Event::Reject(rj),
                    Refusal::Abort(abort) => Event::Abort(abort),
                }
            }
        }
    }

    async fn admit(&mut self, rq: &AssociateRq) -> Result<Event, Refusal> {
        let node = Arc::clone(&self.node);
        let parties = negotiate::parties(rq, &node.config).map_err(Refusal::Reject)?;
        let calling = parties.calling;
        let peers = node.archive.peers().await.map_err(|error| {
            tracing::error!(%error, "configured peers cannot be read");
            Refusal::Reject(AssociateRj::CONGESTION)
        })?;
        let peers = wire::resolve(peers, &calling).await;
        let grant = policy::grant(&node.config, &peers, &calling, self.address.ip(), self.fingerprint())
            .ok_or(Refusal::Reject(AssociateRj::CALLING_AE_TITLE))?;
        let place = node.places.take(grant.is_known.then_some(&calling), grant.max_associations);
        let place = place.ok_or(Refusal::Reject(AssociateRj::LOCAL_LIMIT))?;
        let user = match roles::credentials(&rq.user) {
            Some(shown) => Some(self.user(shown).await.map_err(Refusal::Reject)?),
            None => None,
        };
        let rights = user.as_ref().map_or(grant.rights, |user| grant.rights.within(user));
        let (mut ac, agreement) = negotiate::negotiate(rq, rights, &node.config)?;
        ac.user.identity_confirmed = user.is_some();

        let span = tracing::Span::current();
        span.record("calling", calling.as_str()).record("called", ac.called.as_str());
        if let Some(certificate) = &self.certificate {
            span.record("certificate", certificate.to_string());
        }
        let version = rq.user.implementation_version_name.as_str();
        tracing::info!(version, contexts = agreement.contexts.len(), of = ac.contexts.len(), "association accepted");
        self.pending = None;
        self.association = Some(Association {
            calling,
            is_known: grant.is_known,
            called: parties.called,
            user: user.map(|user| user.name),
            view: parties.view.and(&grant.view),
            address: self.address.ip().to_canonical().to_string(),
            agreement,
            assembler: Assembler::default(),
            running: None,
            series: BTreeSet::new(),
            reports: commitment::Reports::default(),
            committing: FuturesUnordered::new(),
            _place: place,
        });
        Ok(Event::Accept(Box::new(ac)))
    }

    /// The user of the archive that the peer shows to be. The session that signing in opens is not needed further.
    async fn user(&self, shown: Credentials<'_>) -> Result<Principal, AssociateRj> {
        let archive = &self.node.archive;
        let known = match shown {
            Credentials::Token(token) => archive.authenticate(token).await,
            Credentials::Passcode(name, passcode) => {
                let address = self.address.ip().to_string();
                async {
                    let (user, secret) = archive.sign_in(name, passcode, &address).await?;
                    archive.sign_out(&secret).await?;
                    Ok(Some(user))
                }
                .await
            }
        };
        match known {
            Ok(Some(user)) => Ok(user),
            Err(error) if error.failure() == Failure::Internal => {
                tracing::error!(%error, "user identity cannot be checked");
                Err(AssociateRj::CONGESTION)
            }
            Ok(None) | Err(_) => Err(AssociateRj::NO_REASON),
        }
    }

    async fn audit_refusal(&self, rq: &AssociateRq, reason: &str) {
        self.audit(AuditRecord {
            at: 0,
            action: AuditAction::SecurityAlert,
            actor: rq.calling.clone(),
            origin: self.address.ip().to_canonical().to_string(),
            success: false,
            study: None,
            detail: format!("association with {} refused: {reason}{}", rq.called, self.shown()),
        })
        .await;
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.certificate.as_ref().map(|certificate| certificate.fingerprint)
    }
}
