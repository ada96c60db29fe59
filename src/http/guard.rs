//! Who may ask: only programs and browsers of this machine that mean this machine.
//!
//! A web page from elsewhere can make a browser connect to a loopback port under a name that its owner has pointed there
//! (DNS rebinding); such a request carries that name in `Host`. Knows nothing of pages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Uri};

/// Whether the address reaches this machine only.
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether the request names this machine, wherever it names a host at all. One `Host` is required, as HTTP/1.1 has it.
pub(super) fn allows(uri: &Uri, headers: &HeaderMap) -> bool {
    let target = uri.authority().is_none_or(|a| is_local(a.as_str()));
    target && is_local_header(headers, &HOST, "") == Some(true) && is_local_origin(headers)
}

/// A browser tells where a script comes from; our own page comes from here, and every other script is none of ours.
fn is_local_origin(headers: &HeaderMap) -> bool {
    is_local_header(headers, &ORIGIN, "http://").unwrap_or(true)
}

/// `None`: there is no such header. Two of them are never local: which of them counts would be anybody's guess.
fn is_local_header(headers: &HeaderMap, name: &HeaderName, prefix: &str) -> Option<bool> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok().and_then(|v| v.strip_prefix(prefix));
    Some(all.next().is_none() && value.is_some_and(is_local))
}

/// Reads `host[:port]` itself, and strictly: the general parser lets `[::1].example` through as a host of `[::1]`.
fn is_local(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(host, port)| {
            is_port(port) && host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
        });
    }
    let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    let local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    local && is_port(port)
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in
            ["localhost", "LocalHost:9900", "127.0.0.1", "127.9.8.7:1", "[::1]", "[::1]:9900"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:127.0.0.1",
            "user@localhost",
            "localhost@evil.example",
            "0.0.0.0",
            "128.0.0.1",
            "127.1",
            "2130706433",
            "[::]",
            "::1",
            "[::1",
            "[::1].evil.example",
            "[::1]:x",
            "localhost:",
            "localhost:1:2",
            "localhost:65536",
            "localhost/x",
            "local host",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn every_place_that_names_a_host_is_looked_at() {
        let ask = |uri: &'static str, entries: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in entries {
                headers.append(name, axum::http::HeaderValue::from_static(value));
            }
            allows(&Uri::from_static(uri), &headers)
        };
        assert!(ask("/stats", &[(HOST, "localhost:1")]));
        assert!(ask("http://localhost/stats", &[(HOST, "localhost")]));
        assert!(ask("/", &[(HOST, "localhost:1"), (ORIGIN, "http://localhost:1")]));
        assert!(!ask("/stats", &[]));
        assert!(!ask("/stats", &[(HOST, "localhost"), (HOST, "localhost")]));
        assert!(!ask("http://evil.example/stats", &[(HOST, "localhost")]));
        for origin in ["null", "http://evil.example", "https://localhost", "localhost"] {
            assert!(!ask("/", &[(HOST, "localhost"), (ORIGIN, origin)]), "{origin}");
        }
    }

    #[test]
    fn mapped_addresses_count_as_what_they_map() {
        for (ip, is) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(ip.parse().unwrap()), is, "{ip}");
        }
        assert!(!is_loopback("0.0.0.0".parse().unwrap()));
        assert!(!is_loopback("::".parse().unwrap()));
    }
}
