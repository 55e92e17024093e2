//! What is delivered: a finished build, read from the build project and proven while it passes.

use std::io::{self, Read};
use std::sync::OnceLock;

use sha2::Sha512;

use crate::http::Incoming;
use crate::model::{Deadline, Digesting, Metered, Target};
use crate::openstack_cloud::{Cloud, Image, OpenStackError};
use crate::record::{Comparison, Progress, Proof, Revision};

/// A finished build on its way to related projects.
pub struct Artifact {
    /// The build.
    pub revision: Revision,
    /// Its image in the build project.
    pub image: Image,
    proof: OnceLock<Proof>,
}

impl Artifact {
    /// To deliver `revision`, which `image` is.
    pub fn new(revision: Revision, image: Image) -> Self {
        let proof = revision.proof.clone().map(OnceLock::from).unwrap_or_default();
        Self { revision, image, proof }
    }

    /// What it is for.
    pub fn target(&self) -> Target {
        self.revision.target
    }

    /// What its bytes are, once they were read for the first time.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.get()
    }

    /// The bytes from the first to the last, out of the build project. Their end is reached only if they are what they
    /// were when they were read for the first time; that first time is told to `progress`.
    pub fn open<'a>(
        &'a self,
        cloud: &Cloud,
        progress: &'a dyn Progress,
        deadline: Deadline,
    ) -> Result<Proving<'a>, OpenStackError> {
        let stream = cloud.images().download(&self.image.id, deadline)?;
        let stream = Metered::new(stream, "reading the build", self.image.size);
        Ok(Proving { stream: Digesting::new(stream), size: 0, artifact: self, progress })
    }

    /// Compares what was read with what was read before, and with what the build project's Glance says.
    fn prove(&self, read: Proof, progress: &dyn Progress) -> Result<(), OtherBytes> {
        if read.compare(&self.image) == Comparison::Different
            || *self.proof.get_or_init(|| read.clone()) != read
        {
            return Err(OtherBytes(self.image.id.to_string()));
        }
        if self.revision.proof.is_none() || self.revision.failed_reads > 0 {
            progress.revision(&Revision { proof: Some(read), failed_reads: 0, ..self.revision.clone() });
        }
        Ok(())
    }
}

/// The build project gave other bytes than the build has.
#[derive(Debug, thiserror::Error)]
#[error("reading image {0} of the build project: its content has changed")]
struct OtherBytes(String);

/// The bytes of an artifact; at their end they are proven.
pub struct Proving<'a> {
    stream: Digesting<Metered<Incoming>, Sha512>,
    size: u64,
    artifact: &'a Artifact,
    progress: &'a dyn Progress,
}

impl Read for Proving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.size += read as u64;
        if read == 0 && !buffer.is_empty() {
            let proof = Proof { sha512: self.stream.hex(), size: self.size };
            self.artifact.prove(proof, self.progress).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}
