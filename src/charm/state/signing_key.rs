//! The key that the provenance of images is signed with: a secret of the application, which the leader makes when it is
//! first to build. It is read only where a job is asked for. Whatever is wrong with it leaves builds unsigned, and stops none.

use serde_json::json;

use crate::dsse::{KeyError, PublicKey, SigningKey};
use crate::host::Host;
use crate::juju::{HookToolError, HookTools, SecretUri};
use crate::model::{Secret, Timestamp, redact_from_now_on, redacted};
use crate::record::{RecordError, SigningKeys};

/// The label by which the leader finds the secret.
const LABEL: &str = "signing-key";
/// What people read of it.
const DESCRIPTION: &str = "Key that signs the provenance of images";
/// The keys of its content.
const PRIVATE: &str = "private-key";
const EARLIER: &str = "earlier-public-keys";
/// The file from which Juju reads a new content.
const FILE: &str = "signing-key.json";
/// How many hooks in a row try to make a key; then it is tried once an hour.
const TRIES: u32 = 3;
const PAUSE: u64 = 3600;

/// The secret could not be made, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Juju refused.
    #[error(transparent)]
    Juju(#[from] HookToolError),
    /// A file could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A key makes no sense.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<crate::host::FileError> for SigningKeyError {
    fn from(error: crate::host::FileError) -> Self {
        Self::Record(error.into())
    }
}

/// The leader's way to its key.
pub struct SigningSecret<'a> {
    host: &'a Host,
    tools: &'a dyn HookTools,
    /// The key, if this hook has made or read it.
    known: Option<Secret<String>>,
}

impl<'a> SigningSecret<'a> {
    /// The key as it is; a new one where there is none and this unit needs it.
    pub fn prepare(host: &'a Host, tools: &'a dyn HookTools, need: Need) -> Result<Self, RecordError> {
        let mut secret = Self { host, tools, known: None };
        let mut keys = SigningKeys::load(host)?;
        let was_confirmed = keys.confirmed;
        if need == Need::ToBuild && keys.secret.is_some() && !was_confirmed {
            secret.confirm(&mut keys);
        }
        let is_time = keys.tries < TRIES || keys.tried.is_none_or(|tried| tried.age().as_secs() >= PAUSE);
        if need == Need::ToBuild && keys.secret.is_none() && is_time {
            if let Err(error) = secret.find_or_make(&mut keys) {
                keys.problem = Some(told(&error));
                (keys.tries, keys.tried) = (keys.tries.saturating_add(1), Some(Timestamp::now()));
                let next = if keys.tries < TRIES { "with the next hook" } else { "in 1 h" };
                log::warn!(
                    "making the key that signs provenance: {error}; builds are not signed, tried again {next}"
                );
            }
            keys.save(host)?;
        } else if keys.confirmed != was_confirmed {
            keys.save(host)?;
        }
        Ok(secret)
    }

    /// Finds out whether the hook that made the secret has succeeded: of one that has failed Juju keeps nothing.
    fn confirm(&self, keys: &mut SigningKeys) {
        match self.tools.secret_labelled(LABEL) {
            Ok(Some(_)) => keys.confirmed = true,
            Ok(None) => {
                log::warn!("the hook that made the key that signs provenance has failed; another is made");
                // Nobody has its key any more, and what it has signed is signed anew.
                let public_keys = keys.public_keys.split_off(1.min(keys.public_keys.len()));
                *keys = SigningKeys { public_keys, ..SigningKeys::default() };
            }
            Err(error) => log::warn!("looking for the key that signs provenance: {error}"),
        }
    }

    /// The private key as PEM, for the worker; none where there is none to be had.
    pub fn private_key(&self) -> Result<Option<Secret<String>>, RecordError> {
        if self.known.is_some() {
            return Ok(self.known.clone());
        }
        let mut keys = SigningKeys::load(self.host)?;
        let Some(uri) = keys.secret.as_deref().and_then(SecretUri::parse) else { return Ok(None) };
        let read = self.read(&uri, &mut keys).or_else(|error| match error {
            SigningKeyError::Juju(HookToolError::Process(error)) => {
                log::info!("reading the key that signs provenance: {error}; tried once more");
                self.read(&uri, &mut keys)
            }
            error => Err(error),
        });
        let read = match read {
            Ok(key) => Some(key.pem().clone()),
            Err(error) => {
                log::warn!("reading the key that signs provenance: {error}; builds are not signed");
                keys.problem = is_lasting(&error).then(|| told(&error)).or(keys.problem);
                None
            }
        };
        keys.save(self.host)?;
        Ok(read)
    }

    /// Has a new key sign from now on. One that was lost, or cannot be read, is replaced.
    pub fn rotate(&self, earlier: Earlier) -> Result<SigningKeys, SigningKeyError> {
        let mut keys = SigningKeys::load(self.host)?;
        let known = keys.secret.as_deref().and_then(SecretUri::parse);
        let uri = match known.map_or_else(|| self.tools.secret_labelled(LABEL), |uri| Ok(Some(uri)))? {
            Some(uri) => match self.read(&uri, &mut keys) {
                Ok(_)
                | Err(SigningKeyError::Key(_))
                | Err(SigningKeyError::Juju(
                    HookToolError::SecretNotGranted(_) | HookToolError::SecretRefused { .. },
                )) => Some(uri),
                Err(SigningKeyError::Juju(HookToolError::SecretNotFound(_))) => {
                    self.tools.secret_labelled(LABEL)?.filter(|other| *other != uri)
                }
                Err(error) => return Err(error),
            },
            None => None,
        };
        if earlier == Earlier::Forget {
            keys.public_keys.clear();
        }
        self.replace(&mut keys, uri.as_ref())?;
        keys.save(self.host)?;
        Ok(keys)
    }

    /// The secret that a leader before this one has made, or a new one.
    fn find_or_make(&mut self, keys: &mut SigningKeys) -> Result<(), SigningKeyError> {
        let key = match self.tools.secret_labelled(LABEL)? {
            Some(uri) => self.read(&uri, keys)?,
            None => self.replace(keys, None)?,
        };
        self.known = Some(key.pem().clone());
        Ok(())
    }

    /// Reads the key, and notes what verifies its signatures and those of the keys before it.
    fn read(&self, uri: &SecretUri, keys: &mut SigningKeys) -> Result<SigningKey, SigningKeyError> {
        let mut content = self.tools.secret_get(uri)?;
        let key = SigningKey::from_pem(&content.remove(PRIVATE).unwrap_or_default())?;
        redact_from_now_on(key.pem());
        let earlier = content.remove(EARLIER).map(|pem| PublicKey::parse_all(pem.expose().as_bytes()));
        let earlier = earlier.and_then(Result::ok).unwrap_or_default();
        keys.hold(uri.as_str(), key.public(), earlier);
        keys.confirmed = true;
        Ok(key)
    }

    /// Makes a new key: a new revision of `secret`, or a secret of its own where there is none.
    fn replace(
        &self,
        keys: &mut SigningKeys,
        secret: Option<&SecretUri>,
    ) -> Result<SigningKey, SigningKeyError> {
        let key = SigningKey::generate()?;
        redact_from_now_on(key.pem());
        let mut content = json!({PRIVATE: key.pem().expose()});
        let earlier = SigningKeys { public_keys: keys.public_keys.clone(), ..SigningKeys::default() };
        earlier.pem().into_iter().for_each(|pem| content[EARLIER] = pem.into());
        let file = self.host.run_dir().join(FILE);
        self.host.private_dir(&self.host.run_dir())?;
        // What a hook has left that was killed here goes first.
        self.host.remove_file(&file)?;
        self.host.write(&file, content.to_string().as_bytes(), 0o600)?;
        let made = match secret {
            Some(uri) => self.tools.secret_set(uri, &file).map(|()| uri.clone()),
            None => self.tools.secret_add(LABEL, DESCRIPTION, &file),
        };
        self.host.remove_file(&file)?;
        let uri = made?;
        keys.hold(uri.as_str(), key.public(), earlier.public_keys);
        keys.confirmed = secret.is_some();
        log::info!("key {} of secret {uri} signs the provenance of images from now on", key.public().id());
        Ok(key)
    }
}

/// What becomes of the public keys of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// They stay listed: what they verify is good.
    Keep,
    /// They go: somebody else may have signed with them. What they have signed is signed anew.
    Forget,
}

/// Whether a key is to be made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// This unit is to build.
    ToBuild,
    /// It is not.
    No,
}

/// Whether it stays so until somebody mends it.
fn is_lasting(error: &SigningKeyError) -> bool {
    match error {
        SigningKeyError::Juju(error) => matches!(
            error,
            HookToolError::SecretNotFound(_)
                | HookToolError::SecretNotGranted(_)
                | HookToolError::SecretRefused { .. }
        ),
        SigningKeyError::Key(_) => true,
        SigningKeyError::Record(_) => false,
    }
}

/// What the status and `show-image` tell, with what can be done.
fn told(error: &SigningKeyError) -> String {
    let what = match error {
        SigningKeyError::Juju(HookToolError::SecretNotFound(uri)) => format!("secret {uri} not found"),
        SigningKeyError::Juju(HookToolError::SecretNotGranted(uri)) => format!("secret {uri} cannot be read"),
        SigningKeyError::Juju(HookToolError::Process(_)) => {
            "Juju does not take a secret, see the log".to_owned()
        }
        error => redacted(&error.to_string()),
    };
    format!("{what}, run rotate-signing-key")
}
