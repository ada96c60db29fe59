//! What good files say: defaults, presets, and that what is in force reads back as a config.

use super::super::{
    Classify, Cores, Empty, Framing, Guard, Idle, Io, Late, Layout, LowSourcePorts, Mode, Order,
    Overload, Policy, Predictor, Sockets, embedded,
};
use super::{INGRESS, good};
use crate::base::{EgressId, KernelId, Nanos, PerPriority, Priority};
use crate::kernel::KernelSpec;
use crate::kernel::spin::ServiceTime;

const PRESETS: [(&str, &str); 5] = [
    ("default", include_str!("../../../configs/default.toml")),
    ("low-latency", include_str!("../../../configs/low-latency.toml")),
    ("dns-forward", include_str!("../../../configs/dns-forward.toml")),
    ("dscp", include_str!("../../../configs/dscp.toml")),
    ("overload-lab", include_str!("../../../configs/overload-lab.toml")),
];

fn preset(name: &str) -> super::Loaded {
    let (_, text) = PRESETS.into_iter().find(|(n, _)| *n == name).expect("a preset");
    good(text)
}

#[test]
fn the_least_config_has_every_default() {
    let loaded = good(INGRESS);
    assert_eq!(loaded.warnings, []);
    let s = loaded.settings;
    assert_eq!(
        (&s.workers.cores, s.workers.io, s.workers.idle),
        (&Cores::Auto, Io::Auto, Idle::Adaptive)
    );
    assert_eq!((s.workers.spin, s.workers.layout), (Nanos::from_micros(50), Layout::Symmetric));
    assert_eq!(s.workers.hold, Nanos::from_millis(1));
    assert_eq!((s.workers.max_datagram, s.workers.receive_buffer), (2_048, 1 << 20));
    assert_eq!((s.workers.realtime, s.workers.lock_memory), (0, false));
    assert_eq!((s.workers.drain, s.workers.stall), (Nanos::from_secs(2), Nanos::from_millis(100)));
    for p in Priority::ALL {
        assert_eq!(s.classes[p].budget, p.default_budget());
    }
    assert_eq!(s.classes.as_array().map(|c| c.value), [1_000, 100, 10, 1]);
    let c = s.controller;
    assert_eq!((c.interval, c.ema_weight), (Nanos::from_millis(100), 8));
    assert!((c.safety - 0.9).abs() < f64::EPSILON && c.probes);
    assert!((c.fill - 1.0).abs() < f64::EPSILON);
    assert_eq!(
        (c.predictor, c.overload, c.policy),
        (Predictor::Prefix, Overload::Value, Policy::Value)
    );
    assert_eq!((c.margin, c.medium_split), (Nanos::ZERO, [1, 1]));
    let guard = Guard { enabled: true, max: Nanos::from_micros(80), require_expected_high: true };
    assert_eq!(s.guard, guard);
    let i = &s.ingress[0];
    assert_eq!(
        (i.priority, i.classify, i.highest),
        (Priority::Medium, Classify::Fixed, Priority::High)
    );
    assert_eq!((i.framing, i.order, i.empty), (Framing::Raw, Order::Flow, Empty::Drop));
    assert_eq!((i.kernel, i.egress, i.budget), (KernelId(0), EgressId(0), None));
    assert_eq!(s.kernels.spec(KernelId(0)), Some(&KernelSpec::Crc32c));
    assert_eq!((s.egress.len(), s.egress[0].late), (1, Late::Drop));
    let reply = Mode::Reply { amplification: 1.0, low_source_ports: LowSourcePorts::Drop };
    assert_eq!(s.egress[0].mode, reply);
    assert_eq!(s.admin, Some("127.0.0.1:9900".parse().expect("an address")));
}

#[test]
fn the_tighter_budget_of_ingress_and_egress_counts() {
    let budgets = |ingress: &str, egress: &str| {
        let text = format!("{INGRESS}{ingress}\n[[egress]]\nname = \"o\"\n{egress}\n");
        good(&text).settings.ingress[0].budgets
    };
    let ms = |all: [u64; 4]| PerPriority::new(all.map(Nanos::from_millis));
    assert_eq!(budgets("", ""), ms([1, 10, 100, 200]));
    assert_eq!(budgets("", "budget = \"5ms\""), ms([1, 5, 5, 5]));
    // One class: the ingress's budget stands in the place of the class's, shorter or longer.
    assert_eq!(budgets("budget = \"20ms\"", "")[Priority::Medium], Nanos::from_millis(20));
    assert_eq!(
        budgets("budget = \"20ms\"", "budget = \"5ms\"")[Priority::Medium],
        Nanos::from_millis(5)
    );
    assert_eq!(
        budgets("budget = \"2ms\"", "budget = \"5ms\"")[Priority::Medium],
        Nanos::from_millis(2)
    );
    // Several: none has more than it.
    assert_eq!(budgets("classify = \"dscp\"\nbudget = \"20ms\"", ""), ms([1, 10, 20, 20]));
    assert_eq!(
        budgets("classify = \"dscp\"\nbudget = \"20ms\"", "budget = \"5ms\""),
        ms([1, 5, 5, 5])
    );
}

#[test]
fn references_become_ids_in_the_order_of_the_file() {
    let text = "[[ingress]]\nname = \"a\"\nlisten = \"[::1]:0\"\nkernel = \"slow\"\negress = \"two\"\n\
                [[ingress]]\nname = \"b\"\nlisten = \"[::1]:0\"\nkernel = \"echo\"\negress = \"one\"\n\
                [[egress]]\nname = \"one\"\n[[egress]]\nname = \"two\"\n\
                [kernel.zeta]\nkind = \"crc32c\"\n[kernel.slow]\nkind = \"spin\"\ntime = \"1ms\"\n";
    let s = good(text).settings;
    let names = [0, 1, 2, 3].map(|i| s.kernels.name(KernelId(i)));
    assert_eq!(names, [Some("zeta"), Some("slow"), Some("echo"), None]);
    assert_eq!((s.ingress[0].kernel, s.ingress[0].egress), (KernelId(1), EgressId(1)));
    assert_eq!((s.ingress[1].kernel, s.ingress[1].egress), (KernelId(2), EgressId(0)));
}

#[test]
fn every_service_time_is_read() {
    let us = Nanos::from_micros;
    for (line, time) in [
        ("time = \"0us\"", ServiceTime::Constant(us(0))),
        ("time = \"100ns\"", ServiceTime::Constant(Nanos::new(100))),
        (
            "distribution = { kind = \"uniform\", min = \"1us\", max = \"1us\" }",
            ServiceTime::Uniform(us(1), us(1)),
        ),
        (
            "distribution = { kind = \"exponential\", mean = \"1s\" }",
            ServiceTime::Exponential(us(1_000_000)),
        ),
        (
            "distribution.kind = \"payload\"\ndistribution.max = \"9us\"",
            ServiceTime::Payload { max: us(9) },
        ),
        (
            "[kernel.k.distribution]\nkind = \"bimodal\"\nshort = \"1us\"\nlong = \"2us\"\nshare = 1",
            ServiceTime::Bimodal { short: us(1), long: us(2), share: 1.0 },
        ),
    ] {
        let text = format!("{INGRESS}[kernel.k]\nkind = \"spin\"\n{line}\n");
        assert_eq!(good(&text).settings.kernels.spec(KernelId(0)), Some(&KernelSpec::Spin(time)));
    }
}

#[test]
fn presets_load_with_no_warning_but_the_ones_meant() {
    for (name, text) in PRESETS {
        let warned: Vec<usize> = good(text).warnings.iter().map(|w| w.line).collect();
        let meant = if name == "low-latency" { vec![12] } else { vec![] };
        assert_eq!(warned, meant, "{name}");
    }
}

#[test]
fn presets_say_what_their_comments_say() {
    assert_eq!(embedded(), PRESETS[0].1);
    let s = preset("default").settings;
    let listens: Vec<_> =
        s.ingress.iter().map(|i| (i.listen.to_string(), i.priority, i.framing)).collect();
    assert_eq!(
        listens,
        [
            ("127.0.0.1:8080".to_owned(), Priority::High, Framing::Raw),
            ("127.0.0.1:8081".to_owned(), Priority::Medium, Framing::Raw),
            ("127.0.0.1:8082".to_owned(), Priority::Low, Framing::Raw),
        ]
    );
    let s = preset("low-latency").settings;
    assert_eq!((s.workers.idle, s.workers.realtime, s.workers.lock_memory), (Idle::Spin, 1, true));
    assert_eq!(s.ingress[0].budgets[Priority::High], Nanos::from_micros(500));
    let s = preset("dns-forward").settings;
    assert_eq!(
        s.egress[0].mode,
        Mode::Forward {
            to: "127.0.0.1:5353".parse().expect("an address"),
            sessions: 4_096,
            idle_timeout: Nanos::from_secs(5),
            answers: 1,
        }
    );
    let s = preset("dscp").settings;
    assert_eq!(s.ingress[0].classify, Classify::Dscp(Sockets::Class));
    let s = preset("overload-lab").settings;
    let spin = KernelSpec::Spin(ServiceTime::Constant(Nanos::from_micros(20)));
    assert_eq!(s.kernels.spec(s.ingress[2].kernel), Some(&spin));
}

#[test]
fn the_default_preset_shows_true_defaults_in_its_comments() {
    // The keys that a comment shows with their default, put in force, change nothing.
    let text = PRESETS[0].1;
    let shown = |line: &str| {
        let key = line.strip_prefix("# ")?.split_once(" = ")?.0;
        let in_force =
            ["classify", "sockets", "highest", "to", "sessions", "idle_timeout", "answers"];
        let plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        // An ingress's or egress's budget is shown by example: it has no default.
        let by_example = line.starts_with("# budget = \"1ms\"");
        (plain && !by_example && !in_force.contains(&key)).then(|| line[2..].to_owned())
    };
    let all: Vec<String> = text.lines().map(|l| shown(l).unwrap_or_else(|| l.to_owned())).collect();
    let opened = all.join("\n").replace("# [level", "[level");
    assert!(opened.lines().filter(|l| !text.lines().any(|t| t == *l)).count() > 25, "{opened}");
    assert_eq!(good(&opened).settings.to_json(), good(text).settings.to_json());
}

#[test]
fn what_is_in_force_reads_back_as_the_same_config() {
    let rich = "[workers]\ncores = [3, 1]\nlayout = \"tiered\"\n[controller]\nmedium_split = [2, 3]\n\
         [[ingress]]\nname = \"a\"\nlisten = \"[::]:53\"\nclassify = \"dscp\"\nsockets = \"one\"\nhighest = \"medium\"\nbudget = \"3ms\"\negress = \"f\"\n\
         [[ingress]]\nname = \"b\"\nlisten = \"0.0.0.0:54\"\nclassify = \"header\"\nframing = \"framed\"\nkernel = \"k\"\negress = \"s\"\n\
         [[ingress]]\nname = \"c\"\nlisten = \"0.0.0.0:55\"\nclassify = \"workload\"\nkernel = \"u\"\negress = \"s\"\nempty = \"serve\"\norder = \"none\"\n\
         [[egress]]\nname = \"f\"\nmode = \"forward\"\nto = \"[::1]:5353\"\nbudget = \"2ms\"\n\
         [[egress]]\nname = \"s\"\nmode = \"send\"\nto = \"127.0.0.1:1\"\nlate = \"send\"\n\
         [kernel.k]\nkind = \"spin\"\ndistribution = { kind = \"bimodal\", short = \"1us\", long = \"2us\", share = 0.25 }\n\
         [kernel.u]\nkind = \"spin\"\ndistribution = { kind = \"uniform\", min = \"1us\", max = \"2us\" }\n\
         [kernel.e]\nkind = \"spin\"\ndistribution = { kind = \"exponential\", mean = \"1us\" }\n\
         [kernel.p]\nkind = \"spin\"\ndistribution = { kind = \"payload\", max = \"1us\" }\n\
         [admin]\nlisten = \"off\"\n";
    for text in PRESETS.map(|(_, text)| text).into_iter().chain([rich, INGRESS]) {
        let json = good(text).settings.to_json();
        let mut file = json.clone();
        for ingress in file["ingress"].as_array_mut().expect("a list") {
            ingress.as_object_mut().expect("a table").remove("budgets_in_force");
        }
        let again = good(&toml::to_string(&file).expect("TOML")).settings.to_json();
        assert_eq!(again, json);
    }
}

#[test]
fn doubtful_things_are_warned_of() {
    for (text, at, message) in [
        (
            "[priority.high]\nbudget = \"20ms\"\n",
            (5, 10),
            "high has a longer budget (20ms) than medium",
        ),
        ("[workers]\nidle = \"park\"\nspin = \"1us\"\n", (6, 8), "`spin` has no effect with idle"),
        ("[workers]\nstall = \"20ms\"\n", (5, 9), "an idle worker may sleep 50ms"),
        ("[workers]\nidle = \"spin\"\nrealtime = 5\n", (6, 12), "leaves its core to nothing else"),
        (
            "[controller]\npolicy = \"fifo\"\noverload = \"value\"\n",
            (6, 12),
            "`overload` has no effect",
        ),
        (
            "[controller]\npolicy = \"edf\"\npredictor = \"off\"\nmargin = \"1us\"\n",
            (7, 10),
            "`margin` has no effect",
        ),
        (
            "[controller]\npredictor = \"off\"\n",
            (5, 13),
            "`predictor` has no effect with policy = \"value\"",
        ),
        (
            "[controller]\noverload = \"none\"\n",
            (5, 12),
            "`overload` has no effect with policy = \"value\"",
        ),
        ("[controller]\nmedium_split = [1, 2]\n", (5, 16), "only with layout = \"tiered\""),
        (
            "[workers]\nlayout = \"tiered\"\n[controller]\nfill = 0.5\n",
            (7, 8),
            "`fill` has an effect only with",
        ),
        (
            "[controller]\npolicy = \"edf\"\npredictor = \"off\"\nfill = 0.5\n",
            (7, 8),
            "`fill` has an effect only with",
        ),
        (
            "[controller]\npolicy = \"fifo\"\nfill = 0.5\n",
            (6, 8),
            "`fill` has no effect with policy",
        ),
        ("[guard]\nenabled = false\nmax = \"1us\"\n", (6, 7), "`max` has no effect"),
        ("[level]\n", (4, 1), "takes effect with offload backends"),
        ("highest = \"low\"\n", (4, 11), "has no effect without `classify`"),
        ("classify = \"dscp\"\nhighest = \"low\"\n", (5, 11), "a more urgent class than `highest`"),
        ("[[egress]]\nname = \"o\"\namplification = 2\n", (6, 17), "may be larger than requests"),
        (
            "egress = \"o\"\n[[egress]]\nname = \"o\"\n[[egress]]\nname = \"p\"\n",
            (8, 8),
            "no ingress uses",
        ),
        ("[kernel.echo]\nkind = \"crc32c\"\n", (4, 9), "hides the built-in kernel echo"),
    ] {
        let loaded = good(&format!("{INGRESS}{text}"));
        let [warning] = loaded.warnings.as_slice() else { panic!("{:#?}", loaded.warnings) };
        assert_eq!((warning.line, warning.column), at, "{}", warning.message);
        assert!(warning.message.contains(message), "{}", warning.message);
        let shown = loaded.render_warnings(false);
        assert!(shown.starts_with(&format!("it.toml:{}:{}: warning: ", at.0, at.1)), "{shown}");
    }
}

#[test]
fn a_breaker_that_cannot_trip_and_work_that_cannot_spill_are_warned_of() {
    let said = |text: &str| {
        let loaded = good(&format!("{INGRESS}{text}"));
        let said = loaded.warnings.iter().map(|w| w.message.clone()).collect::<Vec<_>>();
        said.join("\n")
    };
    let never = "its cost never opens the breaker";
    let by_default = said("[level.breaker]\nfallback = \"simd\"\n");
    assert!(by_default.contains("`gpu_cost_limit` is 100 GPU-seconds a minute"), "{by_default}");
    assert!(said("[level.breaker]\ngpu_cost_limit = 60\n").contains(never));
    assert!(!said("[level.breaker]\ngpu_cost_limit = 59.9\n").contains(never));
    assert!(!said("[level]\nmode = \"seed\"\n").contains(never), "nobody spoke of a breaker");
    let spill = "work spills only from a full queue";
    assert!(said("[level]\nspill_threshold = 50\n").contains(spill));
    assert!(said("[level]\nmax_depth = 10\n").contains(spill));
    assert!(!said("[level]\nmax_depth = 11\n").contains(spill));
}

#[test]
fn a_gpu_that_can_do_nothing_is_warned_of_and_one_that_is_not_built_in_is_a_fault() {
    let built_in = cfg!(feature = "gpu");
    let unheeded = good(&format!("{INGRESS}[gpu]\nslots = 2\n"));
    let [warning] = unheeded.warnings.as_slice() else { panic!("{:#?}", unheeded.warnings) };
    assert!(warning.message.contains("[gpu] has no effect without enabled = true"));
    let text = format!("{INGRESS}[controller]\npolicy = \"fifo\"\n[gpu]\nenabled = true\n");
    let said: Vec<String> = match crate::config::parse("it.toml", &text) {
        Ok(loaded) => loaded.warnings.into_iter().map(|w| w.message).collect(),
        Err(faults) => {
            let [fault] = faults.list() else { panic!("{:#?}", faults.list()) };
            assert_eq!(fault.key, "gpu.enabled");
            assert!(fault.message.contains("was built without GPUs"), "{}", fault.message);
            assert!(!built_in, "there is one");
            return;
        }
    };
    assert!(built_in, "there is none");
    let has = |words: &str| said.iter().any(|s| s.contains(words));
    assert!(has("a GPU has no effect with policy = \"fifo\""), "{said:?}");
    assert!(has("no kernel of this file runs on a GPU"), "{said:?}");
    assert!(has("its cost never opens the breaker"), "the default of 100: {said:?}");
}

#[test]
fn helpers_work_beside_both_policies_that_predict() {
    if crate::sys::affinity::allowed_cores().is_ok_and(|cores| cores.len() > 1) {
        let loaded = good(&format!("{INGRESS}[level]\nhelpers = 1\n"));
        assert_eq!((loaded.settings.controller.policy, loaded.warnings.len()), (Policy::Value, 0));
        let beside = |policy: &str| {
            let text =
                format!("{INGRESS}[controller]\npolicy = \"{policy}\"\n[level]\nhelpers = 1\n");
            good(&text).warnings
        };
        assert!(beside("edf").is_empty());
        let said = beside("fifo");
        let [warning] = said.as_slice() else { panic!("{said:#?}") };
        assert!(warning.message.contains("no effect with policy = \"fifo\""));
        // What helpers do not heed is said, too.
        let loaded = good(&format!("{INGRESS}[level]\nhelpers = 1\nmax_depth = 20\n"));
        let [warning] = loaded.warnings.as_slice() else { panic!("{:#?}", loaded.warnings) };
        assert!(warning.message.contains("takes effect with offload backends"));
    }
}
