//! The tiered layout: High mainly on the first worker, Low only on the last.

use std::net::UdpSocket;

use crate::rig::{Service, v4};

const FLOWS: usize = 256;
const CLASSES: [&str; 4] = ["high", "medium", "low", "best-effort"];

pub(crate) fn high_goes_first_and_low_last(io: &str) {
    for workers in [2, 3] {
        let service = Service::start(io, &config(workers));
        let flows: Vec<UdpSocket> = (0..FLOWS).map(|_| v4()).collect();
        for class in CLASSES {
            for flow in &flows {
                flow.send_to(b"1234", service.at(class)).unwrap();
            }
            service.stats_until("all have arrived", |s| {
                s.get(class, class, "received") == FLOWS as u64
            });
        }
        let stats = service.settled();
        let arrivals = |class: &str| -> Vec<u64> {
            (0..workers).map(|w| stats.worker(w, class, "arrivals")).collect()
        };
        let share = |n: u64| n * 100 / FLOWS as u64;
        let high = arrivals("high");
        assert!((60..=97).contains(&share(high[0])), "{workers}: high {high:?}");
        assert!(high[1..].iter().all(|n| *n > 0), "{workers}: high {high:?}");
        let medium = arrivals("medium");
        assert_eq!(medium[0], 0, "{workers}: medium {medium:?}");
        assert!(medium[1..].iter().all(|n| share(*n) >= 30), "{workers}: medium {medium:?}");
        for class in ["low", "best-effort"] {
            let all = arrivals(class);
            assert_eq!(all[workers - 1], FLOWS as u64, "{workers}: {class} {all:?}");
        }
        let there: Vec<usize> =
            core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect();
        for (w, shown) in service.stats().0["workers"].as_array().unwrap().iter().enumerate() {
            assert_eq!(shown["pinned"], there.contains(&w), "worker {w} of {there:?}: {shown}");
        }
        let plan = service.json("/plan");
        assert_eq!(plan["layout"], "tiered");
        assert_eq!(plan["workers"][0]["quota"]["low"], 0);
    }
}

/// Where the machine has fewer cores, a worker runs unpinned, and says so.
fn config(workers: usize) -> String {
    let cores: Vec<String> = (0..workers).map(|w| w.to_string()).collect();
    let mut config = format!(
        "[workers]\ncores = [{}]\nlayout = \"tiered\"\n[[egress]]\nname = \"back\"\nlate = \"send\"\n",
        cores.join(", ")
    );
    for class in CLASSES {
        config += &format!(
            "[[ingress]]\nname = \"{class}\"\nlisten = \"127.0.0.1:0\"\npriority = \"{class}\"\n"
        );
    }
    config
}
