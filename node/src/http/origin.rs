//! Under which address outsiders reach this node, for the links that it gives out.
//!
//! An operator says it in the configuration (`http.public_origin`). Without that, the `Host` of
//! the request serves where it cannot lead personal data astray: over this node's own TLS, and on
//! this machine. A node behind a proxy must be told.

use std::{fmt, str::FromStr};

use axum::http::{HeaderMap, Uri, header};
use thiserror::Error;

/// Longest host with its port: a name of the DNS and `:65535`.
const MAX_HOST_LEN: usize = 253 + 6;

/// The scheme, host and port under which outsiders reach this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicOrigin(String);

/// Why a text is not such an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a public origin is https:// and a host, perhaps with a port, without a path or a final slash; http:// serves on loopback only"
)]
pub struct NotAnOrigin;

impl FromStr for PublicOrigin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let good = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(host), _) => is_host(host),
            (_, Some(host)) => is_host(host) && is_loopback(host),
            _ => false,
        };
        if good { Ok(Self(text.to_owned())) } else { Err(NotAnOrigin) }
    }
}

impl fmt::Display for PublicOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origin that a request was sent to, where that is safe to repeat.
pub(super) fn of_request(uri: &Uri, headers: &HeaderMap, encrypted: bool) -> Option<PublicOrigin> {
    // HTTP/2 has the host in the address, HTTP/1.1 in one header.
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (uri.authority(), named.next(), named.next()) {
        (Some(authority), _, _) => authority.as_str(),
        (None, Some(host), None) => host.to_str().ok()?,
        _ => return None,
    };
    let scheme = if encrypted { "https" } else { "http" };
    format!("{scheme}://{host}").parse().ok()
}

/// Whether `text` is a host name or address and perhaps a port, and nothing else.
fn is_host(text: &str) -> bool {
    if text.len() > MAX_HOST_LEN {
        return false;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let name = |h: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
        !h.is_empty() && h.bytes().all(known)
    };
    let address = |h: &str| {
        let inner = h.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        inner.is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok())
    };
    (name(host) || address(host)) && port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0))
}

/// Whether the host, perhaps with a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let plain = name.trim_start_matches('[').trim_end_matches(']');
    plain == "localhost" || plain.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for good in [
            "https://licences.guangdong.example",
            "https://licences.guangdong.example:8443",
            "https://192.0.2.7",
            "https://[2001:db8::1]:8443",
            "http://127.0.0.1:8103",
            "http://localhost:8103",
            "http://[::1]:8103",
        ] {
            assert_eq!(good.parse::<PublicOrigin>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "https://",
            "licences.guangdong.example",
            "http://licences.guangdong.example",
            "http://127.0.0.1.evil.example",
            "http://192.0.2.7:8103",
            "https://a/",
            "https://a/t",
            "https://a?x",
            "https://a#x",
            "https://user@a",
            "https://a:0",
            "https://a:65536",
            "https://a:b",
            "https://a b",
            "https://[::1",
            "https://a\r\nx",
            "https://证照",
            "ftp://a",
        ] {
            assert_eq!(bad.parse::<PublicOrigin>(), Err(NotAnOrigin), "{bad}");
        }
        assert!(format!("https://{}", "a".repeat(300)).parse::<PublicOrigin>().is_err());
    }

    #[test]
    fn a_host_is_repeated_over_tls_and_on_this_machine_only() {
        let asked = |hosts: &[&'static str], encrypted| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            let origin = of_request(&Uri::from_static("/v1/tickets"), &headers, encrypted);
            origin.map(|o| o.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(asked(&["127.0.0.1:8103"], false), some("http://127.0.0.1:8103"));
        assert_eq!(asked(&["a.example"], true), some("https://a.example"));
        assert_eq!(asked(&["a.example"], false), None);
        assert_eq!(asked(&["a.example/t"], true), None);
        assert_eq!(asked(&["a.example", "b.example"], true), None);
        assert_eq!(asked(&[], true), None);
        let uri = Uri::from_static("https://a.example/v1/tickets");
        let origin = of_request(&uri, &HeaderMap::new(), true);
        assert_eq!(origin.map(|o| o.to_string()), some("https://a.example"));
    }
}
