//! A-ASSOCIATE-RQ → acceptance or rejection (PS3.8 §7.1, §9.3).

use super::{
    policy::Rights,
    roles::{self, QueryOptions},
    supported::{Service, is_known_transfer_syntax, is_query_transfer_syntax, service},
};
use crate::{
    config::NodeConfig,
    pdu::{
        APPLICATION_CONTEXT, Abort, AssociateAc, AssociateRj, AssociateRq, ContextOutcome, ContextResult,
        ProposedContext, UserInformation,
    },
};
use pacs_core::{
    AeTitle, TransferSyntax, Uid,
    query::View,
    transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN},
};
use std::collections::BTreeMap;

/// The smallest maximum of a peer that leaves room for headers and a useful fragment. The standard names none; a peer
/// that can take less can take no image either.
pub(crate) const SMALLEST_PEER_MAX: u32 = 128;

/// An accepted presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub service: Service,
    pub abstract_syntax: Uid,
    pub transfer_syntax: TransferSyntax,
    /// The roles of the requestor.
    pub is_scu: bool,
    pub is_scp: bool,
    /// How queries are to be understood.
    pub options: QueryOptions,
}

/// Accepted presentation contexts by their ID.
pub type Contexts = BTreeMap<u8, Context>;

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    pub contexts: Contexts,
    /// Largest variable field of a P-DATA-TF that we may send, in bytes.
    pub send_max: u32,
    /// Operations of the peer's under way at the same time.
    pub window: usize,
    pub rights: Rights,
}

/// How a request ends that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Reject(AssociateRj),
    Abort(Abort),
}

/// Who calls whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    pub calling: AeTitle,
    pub called: AeTitle,
    /// What is seen under the called AE title.
    pub view: View,
}

/// Who calls whom, if the request is one that we could accept: version, application context and both AE titles are judged.
pub fn parties(rq: &AssociateRq, config: &NodeConfig) -> Result<Parties, AssociateRj> {
    if rq.protocol_version & 1 == 0 {
        return Err(AssociateRj::PROTOCOL_VERSION);
    }
    if rq.application_context != APPLICATION_CONTEXT {
        return Err(AssociateRj::APPLICATION_CONTEXT);
    }
    let (called, view) = config.called(&rq.called).ok_or(AssociateRj::CALLED_AE_TITLE)?;
    let calling = rq.calling.parse().map_err(|_| AssociateRj::CALLING_AE_TITLE)?;
    Ok(Parties { calling, called, view })
}

/// The answer to a request of a known caller with `rights`.
pub fn negotiate(rq: &AssociateRq, rights: Rights, config: &NodeConfig) -> Result<(AssociateAc, Agreement), Refusal> {
    if (1..SMALLEST_PEER_MAX).contains(&rq.user.max_length) {
        return Err(Refusal::Reject(AssociateRj::NO_REASON));
    }
    let mut contexts = Contexts::new();
    let mut results = Vec::with_capacity(rq.contexts.len());
    for proposed in &rq.contexts {
        // IDs are odd and used once (PS3.8 §9.3.2.2); with others no fragment could be told from another's.
        if proposed.id % 2 == 0 || results.iter().any(|r: &ContextResult| r.id == proposed.id) {
            return Err(Refusal::Abort(Abort::INVALID_PARAMETER));
        }
        results.push(match judge(proposed, &rq.user, rights, config) {
            Ok(context) => {
                let transfer_syntax = context.transfer_syntax.to_string();
                contexts.insert(proposed.id, context);
                ContextResult { id: proposed.id, outcome: ContextOutcome::Acceptance, transfer_syntax }
            }
            Err(outcome) => ContextResult { id: proposed.id, outcome, transfer_syntax: String::new() },
        });
    }
    let peer_max = if rq.user.max_length == 0 { config.max_pdu_length } else { rq.user.max_length };
    let window = usize::from(roles::window(&rq.user));
    let send_max = peer_max.min(config.max_pdu_length);
    let agreement = Agreement { contexts, send_max, window, rights };
    let ac = AssociateAc {
        called: rq.called.clone(),
        calling: rq.calling.clone(),
        contexts: results,
        user: roles::answer(&rq.user, rights, config),
    };
    Ok((ac, agreement))
}

fn judge(
    proposed: &ProposedContext,
    user: &UserInformation,
    rights: Rights,
    config: &NodeConfig,
) -> Result<Context, ContextOutcome> {
    let unsupported = ContextOutcome::AbstractSyntaxNotSupported;
    let service = service(&proposed.abstract_syntax, config.taken()).ok_or(unsupported)?;
    let abstract_syntax = proposed.abstract_syntax.parse().map_err(|_| unsupported)?;
    let asked = roles::asked(user, &proposed.abstract_syntax);
    let (is_scu, is_scp) = match service {
        Service::Verification => (true, false),
        Service::Storage => (asked.0 && rights.store, asked.1 && rights.retrieve),
        // Who may give us instances may ask whether we have them.
        // And who is asked by us may answer.
        Service::Commitment => (rights.store, asked.1),
        Service::Find(_) => (rights.find, false),
        Service::Performed => (rights.workflow.may_perform, false),
        Service::Workitems => (rights.workflow.may_workitems, false),
        Service::Worklist => (rights.workflow.worklist.is_some(), false),
        Service::Move(_) | Service::Get(_) => (rights.retrieve, false),
    };
    if !is_scu && !is_scp {
        return Err(ContextOutcome::UserRejection);
    }
    let is_to_us = service != Service::Storage || is_scu;
    let transfer_syntax = choose(service, is_to_us, &proposed.transfer_syntaxes, config)
        .ok_or(ContextOutcome::TransferSyntaxesNotSupported)?;
    let options = roles::options(user, &proposed.abstract_syntax);
    Ok(Context { service, abstract_syntax, transfer_syntax, is_scu, is_scp, options })
}

/// The transfer syntax to answer with: a preferred one, else the first proposed that will do. Where we are to send and may
/// choose, it is one in which everything can be sent.
fn choose(service: Service, is_to_us: bool, proposed: &[String], config: &NodeConfig) -> Option<TransferSyntax> {
    let will_do = |uid: &&String| match service {
        Service::Storage => config.accept_unknown_transfer_syntaxes || is_known_transfer_syntax(uid),
        _ => is_query_transfer_syntax(uid),
    };
    let for_all = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN].into_iter().filter(|_| !is_to_us);
    if let Some(uid) = for_all.into_iter().find(|uid| proposed.iter().any(|p| p == uid)) {
        return uid.parse().ok().map(TransferSyntax::new);
    }
    let usable = || proposed.iter().filter(will_do).filter_map(|uid| uid.parse::<Uid>().ok());
    let preferred = config.preferred_transfer_syntaxes.iter().find_map(|p| usable().find(|uid| uid.as_str() == p));
    preferred.or_else(|| usable().next()).map(TransferSyntax::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacs_core::sop_class::{CT_IMAGE_STORAGE, PATIENT_ROOT_FIND, STUDY_ROOT_FIND, VERIFICATION};

    const IMPLICIT: &str = "1.2.840.10008.1.2";
    const EXPLICIT: &str = "1.2.840.10008.1.2.1";
    const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
    const ALL: Rights = Rights::ALL;

    fn request(contexts: &[(u8, &str, &[&str])]) -> AssociateRq {
        let context = |(id, class, syntaxes): &(u8, &str, &[&str])| ProposedContext {
            id: *id,
            abstract_syntax: (*class).to_owned(),
            transfer_syntaxes: syntaxes.iter().map(|s| (*s).to_owned()).collect(),
        };
        AssociateRq {
            protocol_version: 1,
            called: "YINGHAI".to_owned(),
            calling: "CT".to_owned(),
            application_context: APPLICATION_CONTEXT.to_owned(),
            contexts: contexts.iter().map(context).collect(),
            user: UserInformation { max_length: 16384, ..UserInformation::default() },
        }
    }

    fn check(
        contexts: &[(u8, &str, &[&str])],
        rights: Rights,
        config: &NodeConfig,
        expected: &[(ContextOutcome, &str)],
    ) {
        let (ac, agreement) = negotiate(&request(contexts), rights, config).unwrap();
        let got: Vec<_> = ac.contexts.iter().map(|r| (r.outcome, r.transfer_syntax.as_str())).collect();
        assert_eq!(got, expected);
        assert_eq!(agreement.contexts.len(), expected.iter().filter(|e| e.0 == ContextOutcome::Acceptance).count());
    }

    #[test]
    fn each_context_is_answered_by_itself() {
        use ContextOutcome::*;
        check(
            &[
                (1, VERIFICATION, &[IMPLICIT]),
                (3, CT_IMAGE_STORAGE, &["1.2.3", JPEG_LS, EXPLICIT]),
                (5, STUDY_ROOT_FIND, &[JPEG_LS, EXPLICIT]),
                (7, PATIENT_ROOT_FIND, &[JPEG_LS]),
                (9, "1.2.840.10008.5.1.4.33", &[IMPLICIT]),
                (11, CT_IMAGE_STORAGE, &[]),
            ],
            ALL,
            &NodeConfig::default(),
            &[
                (Acceptance, IMPLICIT),
                (Acceptance, JPEG_LS),
                (Acceptance, EXPLICIT),
                (TransferSyntaxesNotSupported, ""),
                (AbstractSyntaxNotSupported, ""),
                (TransferSyntaxesNotSupported, ""),
            ],
        );
    }

    #[test]
    fn rights_and_preferences_are_followed() {
        use ContextOutcome::*;
        let config = NodeConfig {
            preferred_transfer_syntaxes: vec!["1.2.840.10008.1.2.4.90".to_owned(), EXPLICIT.to_owned()],
            ..NodeConfig::default()
        };
        let contexts: [(u8, &str, &[&str]); 2] =
            [(1, CT_IMAGE_STORAGE, &[IMPLICIT, EXPLICIT]), (3, STUDY_ROOT_FIND, &[IMPLICIT])];
        let store_only = Rights { store: true, ..Rights::NONE };
        check(&contexts, store_only, &config, &[(Acceptance, EXPLICIT), (UserRejection, "")]);
    }

    #[test]
    fn an_unknown_version_context_or_name_is_rejected_with_its_reason() {
        let config = NodeConfig::default();
        let rq = request(&[]);
        let with = |change: fn(&mut AssociateRq)| {
            let mut rq = rq.clone();
            change(&mut rq);
            parties(&rq, &config)
        };
        assert_eq!(parties(&rq, &config).map(|parties| parties.calling.to_string()), Ok("CT".to_owned()));
        assert_eq!(with(|rq| rq.protocol_version = 2), Err(AssociateRj::PROTOCOL_VERSION));
        assert_eq!(with(|rq| rq.application_context.clear()), Err(AssociateRj::APPLICATION_CONTEXT));
        assert_eq!(with(|rq| rq.called = "OTHER".into()), Err(AssociateRj::CALLED_AE_TITLE));
        assert_eq!(with(|rq| rq.calling.clear()), Err(AssociateRj::CALLING_AE_TITLE));
    }

    #[test]
    fn context_ids_are_odd_and_used_once_and_the_peer_has_room_for_a_fragment() {
        let config = NodeConfig::default();
        let refused = |rq: &AssociateRq| negotiate(rq, ALL, &config).err();
        let abort = Some(Refusal::Abort(Abort::INVALID_PARAMETER));
        assert_eq!(refused(&request(&[(2, VERIFICATION, &[IMPLICIT])])), abort);
        assert_eq!(refused(&request(&[(1, VERIFICATION, &[IMPLICIT]), (1, VERIFICATION, &[IMPLICIT])])), abort);
        let mut rq = request(&[]);
        rq.user.max_length = 6;
        assert_eq!(refused(&rq), Some(Refusal::Reject(AssociateRj::NO_REASON)));
        rq.user.max_length = 0;
        let (_, agreement) = negotiate(&rq, ALL, &config).unwrap();
        assert_eq!(agreement.send_max, config.max_pdu_length);
    }
}
