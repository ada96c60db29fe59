//! The admin pages, as scripts and scrapers read them.

use crate::rig::{Service, ask, v4};

const CONFIG: &str = r#"
[workers]
cores = [0, 1]
[[ingress]]
name = "orders"
listen = "127.0.0.1:0"
priority = "high"
budget = "20s"
"#;

/// From the interface; those of offload and stealing come with them.
const METRICS: [&str; 9] = [
    "punctual_packets_received_total{ingress=\"orders\",priority=\"high\"}",
    "punctual_packets_completed_total{ingress=\"orders\",priority=\"high\",outcome=\"on_time\"}",
    "punctual_packets_dropped_total{ingress=\"orders\",priority=\"high\",reason=\"parse_error\"}",
    "punctual_latency_seconds_bucket{",
    "punctual_queue_depth{worker=\"1\",priority=\"low\"}",
    "punctual_quota{worker=\"0\",priority=\"high\"}",
    "punctual_guard_window_seconds{worker=\"0\",priority=\"medium\"}",
    "punctual_service_seconds{priority=\"high\",kernel=\"",
    "punctual_build_info{version=\"",
];

pub(crate) fn every_page_says_what_it_should(io: &str) {
    let service = Service::start(io, CONFIG);
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = service.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    }
    let socket = v4();
    ask(&socket, service.at("orders"), b"123456789");
    socket.send_to(b"", service.at("orders")).unwrap();
    let stats = service.stats_until("two have come", |s| s.total("received") >= 2);
    assert_eq!(stats.get("orders", "high", "on_time"), stats.get("orders", "high", "replied"));
    assert_eq!(stats.dropped("orders", "high", "parse_error"), 1);
    assert_eq!(stats.0["totals"]["ingress_drops"], 1);
    metrics(&service);
    let plan = service.json("/plan");
    assert_eq!(plan["workers"].as_array().unwrap().len(), 2);
    assert!(plan["workers"][1]["quota"]["high"].as_u64().unwrap() >= 1, "{plan}");
    let config = service.json("/config");
    assert_eq!(config["workers"]["io"], io, "{config}");
    assert_eq!(config["ingress"][0]["name"], "orders", "{config}");
    assert_eq!(service.get("/").status, 200);
    assert_eq!(service.get("/nowhere").status, 404);
}

fn metrics(service: &Service) {
    let page = service.get("/metrics");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: application/openmetrics-text"), "{}", page.head);
    assert!(page.body.ends_with("# EOF\n"), "{}", page.body);
    for name in METRICS {
        assert!(page.body.lines().any(|l| l.starts_with(name)), "{name} in\n{}", page.body);
    }
    let value = |name: &str| -> f64 {
        let line = page.body.lines().find(|l| l.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(value(METRICS[0]) >= 2.0 && value(METRICS[1]) >= 1.0, "{}", page.body);
    assert!((value(METRICS[2]) - 1.0).abs() < f64::EPSILON, "{}", page.body);
}
