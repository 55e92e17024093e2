//! One web site with everything that a charm downloads: cloud images with signed checksums, runner releases with
//! their digests, an archive mirror, scripts. What it serves can be changed while it runs, as the real ones change.

mod archive;
mod runners;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::github::Runners;
use super::http::{Fault, FaultId, Faults, LogEntry, Request, Response, Server};
use super::rate::Rate;
use super::signing::Signer;
use crate::lock;

/// What a site has to offer when it starts.
#[derive(Clone, Debug)]
pub struct SiteSetup {
    /// Code names of the series that have cloud images.
    pub series: Vec<String>,
    /// Their architectures, as in file names.
    pub architectures: Vec<String>,
    /// Bytes of each image.
    pub image_size: usize,
    /// Versions of the runner, the latest last.
    pub runner_versions: Vec<String>,
    /// Tools that are released as one file an architecture.
    pub tools: Vec<ReleasedTool>,
}

/// A tool whose releases hold one program for each architecture.
#[derive(Clone, Debug)]
pub struct ReleasedTool {
    /// Its repository, `OWNER/NAME`.
    pub repository: String,
    /// The release's tag.
    pub tag: String,
    /// The names of the programs.
    pub assets: Vec<String>,
}

impl Default for SiteSetup {
    fn default() -> Self {
        Self {
            series: ["jammy", "noble"].map(Into::into).into(),
            architectures: ["amd64", "arm64"].map(Into::into).into(),
            image_size: 1 << 20,
            runner_versions: ["2.336.0", "2.337.1"].map(Into::into).into(),
            tools: vec![ReleasedTool {
                repository: "mikefarah/yq".into(),
                tag: "v4.54.1".into(),
                assets: ["yq_linux_amd64", "yq_linux_arm64"].map(Into::into).into(),
            }],
        }
    }
}

/// Where the recipe's yq lies.
pub const YQ: &str = "/mikefarah/yq/releases/download/v4.54.1/yq_linux_amd64";

/// The running site.
pub struct Site {
    server: Server,
    faults: Arc<Faults>,
    files: Files,
    runners: Runners,
    rate: Rate,
    signer: Signer,
    setup: Mutex<SiteSetup>,
    /// When each version of the runner was published.
    dates: Mutex<BTreeMap<String, String>>,
    directory: TempDir,
}

type Files = Arc<Mutex<BTreeMap<String, (String, Vec<u8>)>>>;

impl Site {
    /// Starts it; it answers when this returns.
    pub fn start(setup: SiteSetup) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("rehearsal-site-").tempdir()?;
        let files = Files::default();
        let faults = Arc::<Faults>::default();
        let served = Arc::clone(&files);
        let runners = Runners::default();
        let asked = runners.clone();
        let rate = Rate::default();
        let counted = rate.clone();
        let server = Server::start(
            Arc::clone(&faults),
            Arc::new(move |request: &mut Request<'_>| {
                asked.answer(request).unwrap_or_else(|| {
                    let counts = |path: &str| path.starts_with("/api/repos/") || path == "/api/rate_limit";
                    if request.method == "GET" && counts(&request.path) {
                        counted.answer(request, || {
                            let bytes =
                                lock(&served).get(&request.path).map(|(_media_type, bytes)| bytes.clone());
                            (answer(&served, request), bytes.unwrap_or_default())
                        })
                    } else {
                        answer(&served, request)
                    }
                })
            }),
        )?;
        let site = Self {
            signer: Signer::create(directory.path())?,
            server,
            faults,
            files,
            runners,
            rate,
            setup: Mutex::new(setup.clone()),
            dates: Mutex::default(),
            directory,
        };
        for series in &setup.series {
            site.publish_images(series, 1)?;
        }
        site.publish_runners(setup.runner_versions)?;
        setup.tools.iter().for_each(|tool| site.publish_tool(tool));
        Ok(site)
    }

    /// Its URL without a trailing slash.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The root of the cloud images: below it SERIES/current/...
    pub fn images_url(&self) -> String {
        format!("{}/cloud-images", self.url())
    }

    /// What stands for `https://api.github.com`.
    pub fn github_api_url(&self) -> String {
        format!("{}/api", self.url())
    }

    /// What stands for `https://github.com`.
    pub fn github_url(&self) -> String {
        self.url()
    }

    /// The tokens that were given to become a runner with, oldest first.
    pub fn registration_tokens(&self) -> Vec<String> {
        self.runners.tokens()
    }

    /// The limits of what it answers about releases.
    pub fn github_rate(&self) -> &Rate {
        &self.rate
    }

    /// The key that signs SHA256SUMS, as gpgv wants it.
    pub fn keyring(&self) -> &Path {
        self.signer.keyring()
    }

    /// Serves bytes at a path and returns the URL.
    pub fn serve(&self, path: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> String {
        lock(&self.files).insert(path.to_owned(), (media_type.to_owned(), bytes.into()));
        format!("{}{path}", self.url())
    }

    /// What it serves at a path.
    pub fn served(&self, path: &str) -> Option<Vec<u8>> {
        lock(&self.files).get(path).map(|(_media_type, bytes)| bytes.clone())
    }

    /// Serves an external script and returns its URL.
    pub fn serve_script(&self, name: &str, text: &str) -> String {
        self.serve(&format!("/scripts/{name}"), "text/x-shellscript", text)
    }

    /// Publishes the images of a series anew; another `edition` has other bytes.
    pub fn publish_images(&self, series: &str, edition: u32) -> io::Result<()> {
        let architectures = lock(&self.setup).architectures.clone();
        let architectures: Vec<&str> = architectures.iter().map(String::as_str).collect();
        self.publish_images_for(series, &architectures, edition)
    }

    /// The same for other architectures, as in file names.
    pub fn publish_images_for(&self, series: &str, architectures: &[&str], edition: u32) -> io::Result<()> {
        self.publish_in(series, "current", architectures, edition)
    }

    /// Publishes images in the folder of their release date, beside those that are newest.
    pub fn publish_release(&self, series: &str, date: &str, edition: u32) -> io::Result<()> {
        let architectures = lock(&self.setup).architectures.clone();
        let architectures: Vec<&str> = architectures.iter().map(String::as_str).collect();
        self.publish_in(series, date, &architectures, edition)
    }

    fn publish_in(&self, series: &str, folder: &str, architectures: &[&str], edition: u32) -> io::Result<()> {
        let size = lock(&self.setup).image_size;
        let base = format!("/cloud-images/{series}/{folder}");
        let mut sums = String::new();
        for architecture in architectures {
            let name = format!("{series}-server-cloudimg-{architecture}.img");
            let bytes = image_bytes(&format!("{name} {edition}"), size);
            sums.push_str(&format!("{} *{name}\n", hex(&Sha256::digest(&bytes))));
            self.serve(&format!("{base}/{name}"), "application/octet-stream", bytes);
        }
        self.publish_list(&base, &sums)
    }

    /// Publishes and signs a SHA256SUMS of one's own making.
    pub fn publish_sums(&self, series: &str, sums: &str) -> io::Result<()> {
        self.publish_list(&format!("/cloud-images/{series}/current"), sums)
    }

    fn publish_list(&self, base: &str, sums: &str) -> io::Result<()> {
        let signature = self.signer.sign(sums.as_bytes())?;
        self.serve(&format!("{base}/SHA256SUMS"), "text/plain", sums);
        self.serve(&format!("{base}/SHA256SUMS.gpg"), "application/pgp-signature", signature);
        Ok(())
    }

    /// Publishes a release of a tool: programs that know their version.
    pub fn publish_tool(&self, tool: &ReleasedTool) {
        let ReleasedTool { repository, tag, assets } = tool;
        let program = |asset: &String| {
            let text = format!("#!/bin/sh\n# Stand-in for {asset}.\necho '{repository} version {tag}'\n");
            (asset.clone(), text.into_bytes())
        };
        let release = self.release(repository, tag, assets.iter().map(program).collect());
        let path = format!("/api/repos/{repository}/releases/tags/{tag}");
        self.serve(&path, "application/json; charset=utf-8", release.to_string());
    }

    /// Serves the files of a release and returns what GitHub says of it.
    fn release(&self, repository: &str, tag: &str, files: Vec<(String, Vec<u8>)>) -> Value {
        let asset = |(name, bytes): (String, Vec<u8>)| {
            let (size, digest) = (bytes.len(), hex(&Sha256::digest(&bytes)));
            let path = format!("/{repository}/releases/download/{tag}/{name}");
            let url = self.serve(&path, "application/octet-stream", bytes);
            json!({"name": name, "size": size, "digest": format!("sha256:{digest}"),
                "content_type": "application/octet-stream", "state": "uploaded", "browser_download_url": url})
        };
        let assets: Vec<Value> = files.into_iter().map(asset).collect();
        json!({"tag_name": tag, "name": tag, "draft": false,
            "prerelease": false, "published_at": "2026-01-01T00:00:00Z", "assets": assets,
            "html_url": format!("{}/{repository}/releases/tag/{tag}", self.url())})
    }

    /// Lets requests go wrong.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let id = self.faults.inject(fault);
        drop(self.server.follow_rules());
        id
    }

    /// How many requests a fault has struck so far.
    pub fn struck(&self, id: FaultId) -> u32 {
        self.faults.struck(id)
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.faults.heal();
        drop(self.server.follow_rules());
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<LogEntry> {
        self.faults.log()
    }
}

fn answer(files: &Files, request: &Request<'_>) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::bytes(405, "text/plain", "Method Not Allowed\n");
    }
    let Some((media_type, bytes)) = lock(files).get(&request.path).cloned() else {
        let message = json!({"message": "Not Found", "status": "404"});
        return if request.path.starts_with("/api/") {
            Response::json(404, &message)
        } else {
            Response::bytes(404, "text/html", "<html><title>404 Not Found</title></html>\n")
        };
    };
    if ["/SHA256SUMS", "/InRelease"].iter().any(|name| request.path.ends_with(name)) {
        // As an image server tells whether a small file has changed.
        let etag = format!("\"{}\"", hex(&Sha256::digest(&bytes)));
        return match request.header("if-none-match") {
            Some(known) if known == etag => Response::empty(304).with("ETag", etag),
            _ => Response::bytes(200, &media_type, bytes).with("ETag", etag),
        };
    }
    let first = request.header("range").and_then(|range| first_byte(range, bytes.len()));
    match first {
        None => Response::bytes(200, &media_type, bytes).with("Accept-Ranges", "bytes"),
        Some(first) if first >= bytes.len() => {
            Response::empty(416).with("Content-Range", format!("bytes */{}", bytes.len()))
        }
        Some(first) => Response::bytes(206, &media_type, &bytes[first..])
            .with("Content-Range", format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len())),
    }
}

/// The first byte that a client wants who asks for the rest of a file; ranges of another form are ignored, as servers may.
fn first_byte(range: &str, length: usize) -> Option<usize> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let open = last.is_empty() || last.parse() == Ok(length.saturating_sub(1));
    first.parse().ok().filter(|_| open)
}

/// Bytes that look like nothing, depend on the name, and do not compress.
fn image_bytes(name: &str, size: usize) -> Vec<u8> {
    let seed = Sha256::digest(name.as_bytes());
    let mut state = seed.iter().fold(0_u64, |state, byte| state.rotate_left(8) ^ u64::from(*byte)) | 1;
    let mut bytes = b"QFI\xfb".to_vec();
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
