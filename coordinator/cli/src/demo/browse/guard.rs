//! Who may ask: a page that was opened by the address this process has told, and nobody else.
//!
//! A page of another origin cannot read what is served here, but its browser may be made to ask.
//! The secret in the path is what it does not know. That the host is this very address keeps away
//! names that were made to point to this machine (DNS rebinding).

use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};

/// Knows the address that was told.
pub(super) struct Guard {
    /// `127.0.0.1:port`.
    host: String,
    /// `http://127.0.0.1:port`.
    origin: String,
    /// `/secret/`.
    prefix: String,
}

impl Guard {
    pub(super) fn new(port: u16, secret: String) -> Self {
        let host = format!("127.0.0.1:{port}");
        Self {
            origin: format!("http://{host}"),
            host,
            prefix: format!("/{secret}/"),
        }
    }

    /// What is told to the person.
    pub(super) fn address(&self) -> String {
        format!("{}{}", self.origin, self.prefix)
    }

    /// What a request asks for: the path behind the secret.
    ///
    /// # Errors
    /// The status to answer with, and nothing else.
    pub(super) fn admit<'a>(
        &self,
        method: &Method,
        path: &'a str,
        headers: &HeaderMap,
    ) -> Result<&'a str, StatusCode> {
        let host = only(headers, &HOST);
        if host != Some(&*self.host) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        let Some(wanted) = path.strip_prefix(&*self.prefix) else {
            return Err(StatusCode::NOT_FOUND);
        };

        match *method {
            Method::GET => Ok(wanted),
            Method::POST => {
                self.admit_change(headers)?;
                Ok(wanted)
            }
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    /// A change comes from the page itself. No form of another page sends JSON, and what sends it
    /// from there has an origin that is not this one.
    fn admit_change(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let kind = only(headers, &CONTENT_TYPE);
        if kind != Some("application/json") {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }

        // What is no browser has none.
        if !headers.contains_key(ORIGIN) {
            return Ok(());
        }
        let origin = only(headers, &ORIGIN);
        if origin == Some(&*self.origin) {
            return Ok(());
        }
        Err(StatusCode::FORBIDDEN)
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const HERE: (HeaderName, &str) = (HOST, "127.0.0.1:4000");
    const REBOUND: (HeaderName, &str) = (HOST, "tacit.attacker.example:4000");
    const OWN: (HeaderName, &str) = (ORIGIN, "http://127.0.0.1:4000");
    const FOREIGN: (HeaderName, &str) = (ORIGIN, "http://attacker.example");
    const JSON: (HeaderName, &str) = (CONTENT_TYPE, "application/json");
    const FORM: (HeaderName, &str) = (CONTENT_TYPE, "text/plain");

    fn admitted(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Result<(), u16> {
        let guard = Guard::new(4000, "secret".into());
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, HeaderValue::from_str(value).unwrap());
        }

        let admitted = guard.admit(&method, path, &all);
        admitted
            .map(|wanted| assert_eq!(wanted, "do"))
            .map_err(|status| status.as_u16())
    }

    /// HOSTILE 169.
    #[test]
    fn who_does_not_come_from_the_address_that_was_told_gets_nothing() {
        let (get, post) = (Method::GET, Method::POST);
        let path = "/secret/do";
        for (method, path, headers, expected) in [
            (&get, path, &[HERE][..], Ok(())),
            (&post, path, &[HERE, JSON], Ok(())),
            (&post, path, &[HERE, JSON, OWN], Ok(())),
            (&get, path, &[], Err(421)),
            (&get, path, &[REBOUND], Err(421)),
            (&get, path, &[HERE, REBOUND], Err(421)),
            (&get, "/do", &[HERE], Err(404)),
            (&get, "/Secret/do", &[HERE], Err(404)),
            (&get, "/secret", &[HERE], Err(404)),
            (&Method::PUT, path, &[HERE, JSON], Err(405)),
            (&Method::OPTIONS, path, &[HERE, FOREIGN], Err(405)),
            (&post, path, &[HERE], Err(415)),
            (&post, path, &[HERE, FORM], Err(415)),
            (&post, path, &[HERE, JSON, FOREIGN], Err(403)),
            (&post, path, &[HERE, JSON, OWN, FOREIGN], Err(403)),
        ] {
            let said = admitted(method.clone(), path, headers);
            assert_eq!(said, expected, "{method} {path} {headers:?}");
        }
    }
}
