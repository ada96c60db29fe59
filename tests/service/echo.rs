//! Raw echo and checksum on every kind of address, one worker and two.

use std::net::SocketAddr;

use crate::rig::{Service, ask, client, v4};

const CRC_OF_123456789: [u8; 4] = [0xe3, 0x06, 0x92, 0x83];

pub(crate) fn answers_on_every_kind_of_address(io: &str) {
    for cores in ["[0]", "[0, 1]"] {
        let service = Service::start(io, &config(cores));
        for (name, question, answer) in
            [("crc", &b"123456789"[..], &CRC_OF_123456789[..]), ("echo", b"as it is", b"as it is")]
        {
            for host in ["v4", "v6"] {
                let at = service.at(&format!("{name}-{host}"));
                let socket = client(at.ip());
                assert_eq!(ask(&socket, at, question), (answer.to_vec(), at), "{name} {host}");
            }
        }
        wildcards(&service);
        let stats = service.settled();
        assert!(stats.total("replied") >= 8, "{}", stats.0);
        assert_eq!(stats.total("forwarded"), 0);
    }
}

/// Whoever is asked answers, and from the address that was asked.
fn wildcards(service: &Service) {
    let port = service.at("any-v4").port();
    for asked in [[127, 0, 0, 2], [127, 0, 0, 1]] {
        let to = SocketAddr::from((asked, port));
        assert_eq!(ask(&v4(), to, b"from where?"), (b"from where?".to_vec(), to));
    }
    let port = service.at("any-v6").port();
    for to in [SocketAddr::from(([127, 0, 0, 3], port)), format!("[::1]:{port}").parse().unwrap()] {
        let bind = if to.is_ipv4() { "127.0.0.1" } else { "::1" };
        let socket = client(bind.parse::<std::net::IpAddr>().unwrap());
        assert_eq!(ask(&socket, to, b"which of us?"), (b"which of us?".to_vec(), to));
    }
}

fn config(cores: &str) -> String {
    let ingress = |name: &str, host: &str, kernel: &str| {
        format!(
            "[[ingress]]\nname = \"{name}\"\nlisten = \"{host}:0\"\nkernel = \"{kernel}\"\n\
             budget = \"20s\"\n"
        )
    };
    [
        format!("[workers]\ncores = {cores}\n"),
        ingress("crc-v4", "127.0.0.1", "crc32c"),
        ingress("crc-v6", "[::1]", "crc32c"),
        ingress("echo-v4", "127.0.0.1", "echo"),
        ingress("echo-v6", "[::1]", "echo"),
        ingress("any-v4", "0.0.0.0", "echo"),
        ingress("any-v6", "[::]", "echo"),
    ]
    .concat()
}
