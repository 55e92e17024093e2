//! Whether an image server's list of digests has changed since it was last looked at, which costs the server next to nothing.

use std::fs;

use super::{BaseImageError, Unopened, folder};
use crate::builder::image::conditional::get_since;
use crate::http::HttpClient;
use crate::model::{BaseImage, Deadline};
use crate::record::{BaseImageSource, Validator};

/// Where the list of digests of `base` is.
pub fn list_of(source: &BaseImageSource, base: BaseImage) -> String {
    format!("{}/SHA256SUMS", folder(source, base))
}

/// By which the list at `url` is known from now on, if it is another than the one with `known`. What it says is for whoever
/// checks its signature.
pub fn list_since(
    http: &HttpClient,
    url: &str,
    known: Option<&Validator>,
    deadline: Deadline,
) -> Result<Option<Validator>, BaseImageError> {
    let found = validator(http, url, known, deadline).map_err(|error| error.at(url))?;
    Ok(found.filter(|found| known != Some(found) || *found == Validator::default()))
}

fn validator(
    http: &HttpClient,
    url: &str,
    known: Option<&Validator>,
    deadline: Deadline,
) -> Result<Option<Validator>, Unopened> {
    if let Some(path) = url.strip_prefix("file://") {
        let metadata = fs::metadata(path)?;
        let modified = format!("{:?}, {} bytes", metadata.modified()?, metadata.len());
        return Ok(Some(Validator { etag: None, modified: Some(modified) }));
    }
    Ok(get_since(http, url, known, deadline)?.map(|(_, validator)| validator))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::Proxies;
    use crate::http::testing::{Reply, Server};

    fn look(url: &str, known: Option<&Validator>) -> Option<Validator> {
        let http = HttpClient::new(Proxies::default());
        list_since(&http, url, known, Deadline::after(Duration::from_secs(120))).unwrap()
    }

    #[test]
    fn a_server_is_asked_only_whether_the_list_has_changed() {
        let headers = "etag: \"a\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        let server = Server::start(vec![
            Reply::with(200, headers, "list"),
            Reply::with(304, headers, ""),
            Reply::with(200, "etag: \"b\"\r\n", "another"),
            Reply::with(200, "", "of a server that says nothing of it"),
            Reply::with(200, "", "of a server that says nothing of it"),
        ]);
        let url = server.url("/noble/current/SHA256SUMS").to_string();
        let first = look(&url, None).unwrap();
        assert_eq!(look(&url, Some(&first)), None);
        let second = look(&url, Some(&first)).unwrap();
        assert_eq!(second, Validator { etag: Some("\"b\"".into()), modified: None });
        let received = server.received();
        assert_eq!(received[1].header("if-none-match"), Some("\"a\""));
        assert_eq!(received[1].header("if-modified-since"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        let nothing = look(&url, Some(&second)).unwrap();
        assert!(look(&url, Some(&nothing)).is_some(), "what cannot be told may have changed");
    }

    #[test]
    fn a_file_has_changed_when_it_was_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("SHA256SUMS");
        let url = format!("file://{}", file.display());
        fs::write(&file, "list").unwrap();
        let known = look(&url, None).unwrap();
        assert_eq!(look(&url, Some(&known)), None);
        fs::write(&file, "another").unwrap();
        assert!(look(&url, Some(&known)).is_some());
    }
}
