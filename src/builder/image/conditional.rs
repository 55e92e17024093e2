//! Whether a file on a web server has changed since it was last looked at, which costs the server next to nothing.

use crate::http::{Answer, HttpClient, HttpError, Method, Request, Url};
use crate::model::Deadline;
use crate::record::Validator;

/// The file at `url`, and by what it is known from now on; none while it is the one that is known by `known`.
pub fn get_since(
    http: &HttpClient,
    url: &str,
    known: Option<&Validator>,
    deadline: Deadline,
) -> Result<Option<(Answer, Validator)>, HttpError> {
    let mut request = Request::new(Method::Get, url.parse::<Url>()?);
    let Validator { etag, modified } = known.cloned().unwrap_or_default();
    for (name, value) in [("if-none-match", etag), ("if-modified-since", modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let answer = http.call(&request, deadline)?;
    if answer.status() == 304 && known.is_some() {
        return Ok(None);
    }
    let answer = answer.or_error()?;
    let told = |name| answer.header(name).filter(|value| value.len() < 200).map(str::to_owned);
    let validator = Validator { etag: told("etag"), modified: told("last-modified") };
    Ok(Some((answer, validator)))
}
