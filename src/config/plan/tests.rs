//! Plans that are right, and what is said of those that are not.

use std::path::Path;

use super::{Times, parse};
use crate::base::{Nanos, Priority};
use crate::config::{Fault, Policy};
use crate::kernel::spin::ServiceTime;

fn configs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/configs"))
}

#[test]
fn an_empty_plan_offers_to_every_ingress_of_the_default() {
    let plan = parse("p.toml", "", configs()).unwrap();
    assert_eq!(plan.config, "default.toml");
    assert_eq!((plan.workers, plan.load, plan.policy), (vec![1], vec![1.0], vec![Policy::Value]));
    let classes: Vec<Priority> = plan.traffic.iter().map(|t| t.priority).collect();
    assert_eq!(classes, [Priority::High, Priority::Medium, Priority::Low]);
    assert!(plan.traffic.iter().all(|t| t.time == ServiceTime::Constant(Nanos::from_micros(1))));
}

const GOOD: &str = r#"
config = "overload-lab.toml"
workers = [1, 16]
load = [0.8, 2]
policy = ["edf", "fifo"]
packets = 5000
[[traffic]]
ingress = "high"
share = 1
[[traffic]]
ingress = "low"
share = 9
arrivals = "bursts"
distribution = { kind = "exponential", mean = "30us" }
[link]
loss = 0.01
[faults]
stall = { every = "40ms", lasts = "3ms" }
slow = { every = "1s", lasts = "200ms" }
late_ticks = { share = 0.3, by = "8ms" }
[[goal]]
priority = "high"
on_time = 0.9
load_max = 1
"#;

#[test]
fn a_plan_says_what_is_swept_offered_and_broken() {
    let plan = parse("p.toml", GOOD, configs()).unwrap();
    assert_eq!((plan.workers, plan.load), (vec![1, 16], vec![0.8, 2.0]));
    assert_eq!(plan.policy, [Policy::Edf, Policy::Fifo]);
    // The config's spin kernel says what the plan does not.
    assert_eq!(plan.traffic[0].time, ServiceTime::Constant(Nanos::from_micros(20)));
    assert_eq!(plan.traffic[1].time, ServiceTime::Exponential(Nanos::from_micros(30)));
    assert_eq!(plan.faults.slow.unwrap().1.to_bits(), 10f64.to_bits());
    assert_eq!(plan.faults.stall.unwrap().lasts, Nanos::from_millis(3));
    assert_eq!(plan.goals[0].priority, Priority::High);
}

#[test]
fn traffic_may_come_as_a_capture_did() {
    let text =
        "config = \"score.toml\"\n[[traffic]]\ningress = \"NAME\"\narrivals = \"score.pcap\"\n";
    let config = crate::config::load(&configs().join("score.toml")).unwrap();
    let text = text.replace("NAME", &config.settings.ingress[0].name);
    let plan = parse("p.toml", &text, configs()).unwrap();
    let Times::Captured(times) = &plan.traffic[0].arrivals else { panic!("{:?}", plan.traffic) };
    assert!(times.len() > 100 && times[0] == Nanos::ZERO && times.is_sorted());
    for (file, why) in [("none.pcap", "cannot be read"), ("score.pcp", "cannot be \"score.pcp\"")] {
        let found = faults(&format!("[[traffic]]\ningress = \"high\"\narrivals = \"{file}\""));
        assert_eq!(found[0].key, "traffic[0].arrivals");
        assert!(found[0].message.contains(why), "{}", found[0].message);
    }
}

#[test]
fn what_packets_took_and_when_they_came_may_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("both.csv", "at_us,service_us\n0,10\n5,30\n40,20\n");
    let text =
        "[[traffic]]\ningress = \"high\"\nrecorded = \"both.csv\"\narrivals = \"both.csv\"\n";
    let plan = parse("p.toml", text, folder.path()).unwrap();
    let took = plan.traffic[0].recorded.as_ref().unwrap();
    assert_eq!(took[..], [10, 30, 20].map(Nanos::from_micros));
    let Times::Captured(times) = &plan.traffic[0].arrivals else { panic!("{:?}", plan.traffic) };
    assert_eq!(times[..], [0, 5, 40].map(Nanos::from_micros));
    let twice = parse("p.toml", &format!("{text}time = \"1us\"\n"), folder.path()).unwrap_err();
    assert!(twice.list()[0].message.contains("do not apply"), "{twice}");
}

#[test]
fn a_plan_may_have_helpers_and_kernels_that_gain_from_company() {
    let text = "helpers = 2\n[[batch]]\nkernel = \"crc32c\"\nrows = 8\nshared = 0.7\n";
    let plan = parse("p.toml", text, configs()).unwrap();
    assert_eq!((plan.helpers, plan.policy), (2, vec![Policy::Value]));
    let (kernel, company) = plan.batches[0];
    assert_eq!(plan.settings.kernels.name(kernel), Some("crc32c"));
    assert_eq!((company.rows, company.shared), (8, 0.7));
}

#[test]
fn a_step_says_when_to_what_and_how_soon() {
    let text = "duration = \"1s\"\n[step]\nat = \"400ms\"\nload = 2\nby = \"5ms\"\n";
    let step = parse("p.toml", text, configs()).unwrap().step.unwrap();
    assert_eq!((step.at, step.load), (Nanos::from_millis(400), 2.0));
    assert_eq!((step.within, step.by), (0.05, Some(Nanos::from_millis(5))));
}

fn faults(text: &str) -> Vec<Fault> {
    parse("p.toml", text, configs()).unwrap_err().list().to_vec()
}

#[test]
fn every_fault_is_one_with_its_key_and_its_place() {
    for (text, key, message) in [
        ("lod = 1", "lod", "unknown key `lod`"),
        ("load = 0", "load", "is out of range"),
        ("load = [1.0, \"x\"]", "load[1]", "must be a number"),
        ("load = []", "load", "is empty"),
        ("workers = 1025", "workers", "is 1025, out of range"),
        ("policy = \"lifo\"", "policy", "cannot be \"lifo\""),
        ("packets = 0", "packets", "is 0, out of range"),
        ("duration = 5", "duration", "must be a duration"),
        ("config = \"nothing.toml\"", "config", "cannot be read"),
        ("config = \"dns-forward.toml\"", "config", "a world has no upstream"),
        ("[[traffic]]", "traffic[0].ingress", "`ingress` is missing"),
        ("[[traffic]]\ningress = \"hihg\"", "traffic[0].ingress", "no ingress named \"hihg\""),
        ("[[traffic]]\ningress = \"low\"\npriority = \"high\"", "traffic[0].priority", "is low"),
        (
            "[[traffic]]\ningress = \"low\"\nbudgets = \"1ms\"",
            "traffic[0].budgets",
            "does not apply",
        ),
        ("[[traffic]]\ningress = \"low\"\nsize = 8", "traffic[0].size", "is 8 bytes, out of range"),
        ("[[traffic]]\ningress = \"low\"\ntime = \"5s\"", "traffic[0].time", "is 5s, out of range"),
        ("[costs]\nlook = \"0ns\"", "costs.look", "is 0ns, out of range"),
        ("[link]\nlos = 0.1", "link.los", "unknown key `los` in [link]"),
        ("[faults]\nstall = { every = \"1ms\" }", "faults.stall.lasts", "`lasts` is missing"),
        ("[faults]\nslow = 3", "faults.slow", "must be a table"),
        ("[faults]\nkernel = 2", "faults.kernel", "is out of range"),
        ("[step]\nat = \"1s\"", "step.load", "`load` is missing"),
        ("[step]\nload = 2", "step.at", "`at` is missing"),
        ("[step]\nat = \"1s\"\nload = 2\nbye = \"1ms\"", "step.bye", "unknown key `bye`"),
        ("[step]\nat = \"59700ms\"\nload = 2", "step", "too near to the end"),
        (
            "[step]\nat = \"1s\"\nload = 2\n[[traffic]]\ningress = \"low\"\narrivals = \"day\"",
            "step",
            "needs a rate that is constant",
        ),
        ("helpers = 2\npolicy = \"edf\"\nworkers = [1, 2]", "helpers", "share nothing"),
        ("helpers = 1\npolicy = \"fifo\"", "helpers", "has no effect"),
        ("helpers = 1024", "helpers", "is 1024, out of range"),
        ("[faults]\ndevice = { lasts = \"1ms\" }", "faults.device.every", "`every` is missing"),
        ("[[batch]]\nrows = 3", "batch[0].kernel", "`kernel` is missing"),
        ("[[batch]]\nkernel = \"crc32\"", "batch[0].kernel", "no kernel named \"crc32\""),
        ("[[batch]]\nkernel = \"crc32c\"\nrows = 65", "batch[0].rows", "is 65, out of range"),
        (
            "[[traffic]]\ningress = \"low\"\nrecorded = \"default.toml\"",
            "traffic[0].recorded",
            "has no column of that name",
        ),
        ("[[goal]]\npriority = \"high\"", "goal[0].on_time", "`on_time` is missing"),
    ] {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].key, key, "{text}: {found:?}");
        assert!(found[0].message.contains(message), "{text}: {}", found[0].message);
        assert!(found[0].line >= 1 && found[0].column >= 1, "{text}: {found:?}");
    }
}

#[test]
fn all_faults_are_said_at_once_with_the_nearest_known_word() {
    let found = faults("lod = 2\npolicy = \"edff\"\n[link]\njiter = \"1ms\"\n");
    let nearest: Vec<_> = found.iter().map(|f| (f.line, f.nearest.as_deref())).collect();
    assert_eq!(nearest, [(1, Some("load")), (2, Some("edf")), (4, Some("jitter"))]);
}

#[test]
fn a_fault_in_the_config_is_told_by_the_config() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), "[workers]\nidel = \"spin\"\n").unwrap();
    let faults = parse("p.toml", "config = \"c.toml\"", folder.path()).unwrap_err();
    assert!(faults.list().iter().all(|f| f.file.ends_with("c.toml")), "{faults}");
    assert!(faults.list().iter().any(|f| f.nearest.as_deref() == Some("idle")), "{faults}");
}
