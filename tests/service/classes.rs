//! Classes by the network's own marking, wherever the mark is looked at: in the kernel or in the worker.

use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;

use crate::rig::{Service, client};

/// EF, AF41, none, CS1; and what each is counted under.
const MARKS: [(u32, &str); 4] = [(46, "high"), (34, "medium"), (0, "low"), (8, "best-effort")];
/// Senders of each mark.
const SENDERS: u64 = 12;

pub(crate) fn the_mark_decides(io: &str) {
    for cores in ["[0]", "[0, 1]"] {
        let service = Service::start(io, &config(cores));
        for sockets in ["class", "one"] {
            for host in ["v4", "v6", "any"] {
                let name = format!("{sockets}-{host}");
                every_mark(&service, &name);
                let clamped = |class| if class == "high" { "medium" } else { class };
                let expected = MARKS.map(|(_, class)| class);
                check(&service, &name, &expected);
                let name = format!("{name}-clamped");
                every_mark(&service, &name);
                check(&service, &name, &expected.map(clamped));
            }
        }
    }
}

/// Twelve senders a mark, one datagram each.
fn every_mark(service: &Service, name: &str) {
    let at = service.at(name);
    let hosts: Vec<IpAddr> = if at.ip().is_unspecified() {
        vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]
    } else {
        vec![at.ip()]
    };
    for (dscp, _) in MARKS {
        for n in 0..SENDERS {
            let host = hosts[usize::try_from(n).unwrap() % hosts.len()];
            let socket = client(host);
            // The two lower bits are not the mark's.
            let tos = dscp << 2 | u32::try_from(n).unwrap() & 3;
            let raw = SockRef::from(&socket);
            if host.is_ipv4() { raw.set_tos_v4(tos) } else { raw.set_tclass_v6(tos) }.unwrap();
            socket.send_to(b"1234", SocketAddr::new(host, at.port())).unwrap();
        }
    }
}

fn check(service: &Service, name: &str, expected: &[&str]) {
    let all = SENDERS * 4;
    let received = |s: &crate::rig::Stats, class: &str| s.get(name, class, "received");
    let classes = MARKS.map(|(_, class)| class);
    let stats = service.stats_until("all have arrived", |s| {
        classes.iter().map(|c| received(s, c)).sum::<u64>() == all
    });
    for class in classes {
        let senders = expected.iter().filter(|e| **e == class).count() as u64 * SENDERS;
        assert_eq!(received(&stats, class), senders, "{name} {class}: {}", stats.0);
    }
}

fn config(cores: &str) -> String {
    let mut config = format!("[workers]\ncores = {cores}\nreceive_buffer = \"64KiB\"\n");
    for sockets in ["class", "one"] {
        for (host, listen) in [("v4", "127.0.0.1:0"), ("v6", "[::1]:0"), ("any", "[::]:0")] {
            for (suffix, highest) in [("", "high"), ("-clamped", "medium")] {
                config += &format!(
                    "[[ingress]]\nname = \"{sockets}-{host}{suffix}\"\nlisten = \"{listen}\"\n\
                     classify = \"dscp\"\nsockets = \"{sockets}\"\nhighest = \"{highest}\"\n\
                     priority = \"best-effort\"\n"
                );
            }
        }
    }
    config
}
