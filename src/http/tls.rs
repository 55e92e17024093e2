//! TLS by rustls, trusting what the machine's operators trust.
//!
//! Roots are the host's own bundle (where operators add their CA), Mozilla's list, and the certificates that the
//! charm's configuration adds. Nothing is read or built before the first https connection.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::HttpError;
use super::error::ConnectError;
use super::transport::time_left;

/// Where Debian and Ubuntu keep the certificates that the machine trusts.
const HOST_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// CA certificates beside those that the machine trusts.
#[derive(Clone, Default)]
pub(super) struct ExtraRoots(Vec<CertificateDer<'static>>);

impl ExtraRoots {
    /// These roots and the certificates in `pem`, of which there must be one at least.
    pub(super) fn and(&self, pem: &str) -> Result<Self, HttpError> {
        let mut roots = self.0.clone();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate =
                certificate.map_err(|error| HttpError::Certificate { reason: error.to_string() })?;
            RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|error| HttpError::Certificate { reason: error.to_string() })?;
            roots.push(certificate);
        }
        if roots.len() == self.0.len() {
            return Err(HttpError::Certificate { reason: "it contains none".to_owned() });
        }
        Ok(Self(roots))
    }
}

impl fmt::Debug for ExtraRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtraRoots({})", self.0.len())
    }
}

/// Wraps connections to https addresses in TLS.
#[derive(Debug)]
pub(super) struct Tls {
    extra: ExtraRoots,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    pub(super) fn new(extra: ExtraRoots) -> Self {
        Self { extra, config: OnceLock::new() }
    }

    fn config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        self.config.get_or_init(|| self.build()).clone().map_err(ConnectError::Tls)
    }

    fn build(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let host = CertificateDer::pem_file_iter(HOST_BUNDLE).into_iter().flatten().filter_map(Result::ok);
        roots.add_parsable_certificates(host);
        roots.add_parsable_certificates(self.extra.0.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Secured<In>>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let refused = |error: &dyn fmt::Display| ConnectError::Tls(error.to_string());
        let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(&error))?;
        let mut connection = ClientConnection::new(self.config()?, name).map_err(|error| refused(&error))?;
        let mut socket = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        socket.set_timeout(time_left(details));
        if let Err(error) = connection.complete_io(&mut socket) {
            return Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(cause) => refused(cause).into(),
                None => error.into(),
            });
        }
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Secured { stream: StreamOwned::new(connection, socket), buffers })))
    }
}

/// A TLS connection.
pub(super) struct Secured<T: Transport> {
    stream: StreamOwned<ClientConnection, TransportAdapter<T>>,
    buffers: LazyBuffers,
}

impl<T: Transport> Transport for Secured<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl<T: Transport> fmt::Debug for Secured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secured(..)")
    }
}
