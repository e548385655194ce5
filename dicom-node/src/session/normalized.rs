//! Requests on managed instances over an association.

use super::Session;
use crate::{
    association::{machine::Event, supported::Service},
    dimse::status,
    scp::{Caller, mpps, normalized::Request, ups},
    wire::Transport,
};
use std::sync::Arc;

impl<S: Transport> Session<S> {
    /// Answers a request; an event ends the association.
    pub(super) async fn normalized(&mut self, context: u8, request: &Request) -> Option<Event> {
        let node = Arc::clone(&self.node);
        let association = self.association.as_ref()?;
        let caller = Caller {
            archive: &node.archive,
            config: &node.config,
            calling: &association.calling,
            is_known: association.is_known,
            address: &association.address,
        };
        let answer = match request.service {
            Service::Workitems => {
                let answer = ups::answer(&caller, request).await;
                node.notifications.notify_one();
                answer
            }
            Service::Performed => {
                let answer = mpps::answer(&caller, request).await;
                node.steps.notify_one();
                answer
            }
            _ => request.answer(status::UNRECOGNIZED_OPERATION),
        };
        let data_set = answer.item.as_ref().map(|item| request.data_set(item));
        self.respond_with(context, &answer.response, data_set.as_ref()).await
    }
}
