//! The only sockets of this room: MLLP over TCP, FHIR and STOW-RS over HTTP.

use crate::{
    config::{FhirRoute, Hl7Route},
    error::DeliveryError,
    fhir::{Interaction, Method, outcome},
    hl7::mllp::{Decoder, frame},
    stow::answer::Answer,
};
use bytes::Bytes;
use futures::Stream;
use reqwest::{
    Body, Client, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
    redirect::Policy,
};
use std::{io, time::Duration};
use storage::routing::WebReceiver;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A longer answer is refused (MLLP) or cut (HTTP).
const MAX_ANSWER: usize = 1 << 20;
const FHIR_JSON: &str = "application/fhir+json";
const DICOM_JSON: &str = "application/dicom+json";

/// Sends one message over a connection of its own and returns the answer, unframed.
// A connection kept open saves little at a few results a minute, and a half-dead one costs a delivery.
pub async fn exchange(route: &Hl7Route, message: &[u8]) -> Result<Vec<u8>, DeliveryError> {
    let connected = timeout(route.connect_timeout(), TcpStream::connect(&route.address)).await;
    let stream = connected.map_err(|_| DeliveryError::Timeout("connecting"))?.map_err(DeliveryError::Connect)?;
    let answered = timeout(route.acknowledgement_timeout(), converse(stream, message)).await;
    answered.map_err(|_| DeliveryError::Timeout("the acknowledgement"))?
}

async fn converse(mut stream: TcpStream, message: &[u8]) -> Result<Vec<u8>, DeliveryError> {
    stream.write_all(&frame(message)).await?;
    let mut decoder = Decoder::new(MAX_ANSWER);
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(DeliveryError::Closed);
        }
        if let Some(answer) = decoder.next_frame(&mut &buffer[..read])? {
            return Ok(answer);
        }
    }
}

/// A FHIR server as a route describes it.
#[derive(Debug)]
pub struct FhirServer {
    client: Client,
    route: FhirRoute,
}

impl FhirServer {
    /// Neither redirections nor a proxy are followed: patient data and token go to the configured host only.
    pub fn new(route: &FhirRoute) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(route.connect_seconds))
            .timeout(Duration::from_secs(route.request_seconds))
            .build()?;
        Ok(Self { client, route: route.clone() })
    }

    /// Sends one request and judges the answer.
    pub async fn send(&self, interaction: &Interaction) -> Result<String, DeliveryError> {
        let base = self.route.base_url.trim_end_matches('/');
        let request = match interaction.method {
            Method::Post if interaction.path.is_empty() => self.client.post(base),
            Method::Post => self.client.post(format!("{base}/{}", interaction.path)),
            Method::Put => self.client.put(format!("{base}/{}", interaction.path)),
        };
        let request = match &self.route.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let body = interaction.body.to_string();
        let response = request.header(CONTENT_TYPE, FHIR_JSON).header(ACCEPT, FHIR_JSON).body(body).send().await?;
        let status = response.status().as_u16();
        Ok(outcome::read(status, &beginning(response).await?)?)
    }
}

/// Asked for and waited for an answer so long while nothing comes or goes.
const STOW_SILENCE: Duration = Duration::from_secs(120);
const STOW_CONNECT: Duration = Duration::from_secs(10);

/// DICOMweb peers that take instances.
#[derive(Debug)]
pub struct StowServer {
    client: Client,
}

impl StowServer {
    /// Neither redirections nor a proxy are followed, as for FHIR.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(STOW_CONNECT)
            .read_timeout(STOW_SILENCE)
            .build()?;
        Ok(Self { client })
    }

    /// Sends a multipart body and judges the answer.
    pub async fn store(
        &self,
        receiver: &WebReceiver,
        boundary: &str,
        parts: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Answer {
        let url = format!("{}/studies", receiver.url.trim_end_matches('/'));
        let content_type = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
        let mut request = self.client.post(&url).header(CONTENT_TYPE, content_type).header(ACCEPT, DICOM_JSON);
        if let Some(authorization) = &receiver.authorization {
            request = request.header(AUTHORIZATION, authorization.as_str());
        }
        let answered = async {
            let response = request.body(Body::wrap_stream(parts)).send().await?;
            let status = response.status().as_u16();
            Ok::<_, DeliveryError>(Answer::read(status, &beginning(response).await?))
        };
        answered.await.unwrap_or_else(|error| {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            let why = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
            Answer::Away(format!("{why}; see that {url} can be reached"))
        })
    }
}

/// The body up to [`MAX_ANSWER`].
async fn beginning(mut response: Response) -> Result<Vec<u8>, DeliveryError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let left = MAX_ANSWER - body.len();
        body.extend_from_slice(chunk.get(..left).unwrap_or(&chunk));
        if body.len() == MAX_ANSWER {
            break;
        }
    }
    Ok(body)
}
