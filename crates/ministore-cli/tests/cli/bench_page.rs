//! `bench --report`: the page in a browser, and the file.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    browser::Browser,
    support::{CommandExt, TestDir, ministore},
};

/// Runs a small sweep in a directory of this name. Writes the page and returns the JSON report.
fn run_bench(page: &Path, directory: &str, args: &str) -> Value {
    let dir = TestDir::new();
    let bench_dir = dir.path(directory);
    fs::create_dir(&bench_dir).unwrap();
    let mut bench = ministore(["bench", "--json", "--duration", "0.3s", "--warm-up", "0s", "--dir"]);
    bench.arg(bench_dir).arg("--report").arg(page).args(args.split_whitespace()).run().ok().json()
}

/// Returns the JSON that is embedded in a page.
fn embedded(page: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"report\">";
    let from = page.find(start).unwrap() + start.len();
    let to = from + page[from..].find("</script>").unwrap();
    serde_json::from_str(&page[from..to]).unwrap()
}

#[test]
fn browser_shows_page_with_report_values() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = TestDir::new();
    let page = dir.path("out.html");
    let args =
        "--clients 1,4,16 --rounds 2 --backend auto,blocking --record-bytes 4096 --max-segment-bytes 64KiB";
    let report = run_bench(&page, "plain", args);
    browser.open(&page);

    for (width, scheme) in [(1280, "light"), (390, "dark")] {
        browser.set_viewport(width, scheme);
        let sizes = browser.evaluate(
            "[...document.querySelectorAll('svg.chart')].map(svg => {
                const box = svg.getBoundingClientRect();
                return [box.width, box.height, svg.querySelectorAll('path, rect').length];
            })",
        );
        let sizes = sizes.as_array().unwrap();
        // Two charts for the sweep, two per group, two per point.
        assert_eq!(sizes.len(), 2 + 2 * 2 + 6 * 2, "{sizes:?}");
        for size in sizes {
            let [width, height, shapes] = [0, 1, 2].map(|n| size[n].as_f64().unwrap());
            assert!(width > 250.0 && height > 150.0 && shapes > 5.0, "{size}");
        }
        let overflow = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert!(overflow.as_f64().unwrap() <= 0.0, "{overflow} pixels too wide for {width}");
        assert_scrolling_is_visible(&mut browser, width);
    }
    let background = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.evaluate(background);
    browser.set_viewport(1280, "light");
    assert_ne!(browser.evaluate(background), dark);

    let names = browser.evaluate(
        "[...document.querySelectorAll('svg.chart')].map(svg => svg.getAttribute('role') + ' ' +
            svg.getAttribute('aria-labelledby').split(' ')
                .map(id => document.getElementById(id).textContent).join(': '))",
    );
    for name in names.as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(name.starts_with("img ") && name.len() > 30, "{name}");
    }
    let ids = browser.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id).sort()");
    let mut unique = ids.as_array().unwrap().clone();
    unique.dedup();
    assert_eq!(unique.len(), ids.as_array().unwrap().len(), "{ids}");

    let figures = browser.evaluate(
        "[...document.querySelectorAll('data')].map(d => [d.dataset.json, d.value, d.textContent])",
    );
    let figures = figures.as_array().unwrap();
    assert!(figures.len() >= 6 * 6, "{} figures", figures.len());
    for figure in figures {
        let [pointer, value, text] = [0, 1, 2].map(|n| figure[n].as_str().unwrap());
        let exact = report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
        // The JSON parser may lose the last bit.
        let value: f64 = value.parse().unwrap();
        assert!((value - exact).abs() <= exact * 1e-12, "{pointer}: {value} for {exact}");
        let shown_value = parse_figure(text);
        // The page shows three digits, a whole number, or one decimal.
        assert!((shown_value - exact).abs() <= (exact * 0.006).max(0.5), "{pointer}: {text} for {exact}");
    }

    assert_printable(&mut browser);

    let requests: Vec<_> = events_of(&browser, "Network.requestWillBeSent").collect();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0]["request"]["url"], format!("file://{}", page.display()));
    for method in ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"] {
        assert_eq!(events_of(&browser, method).collect::<Vec<_>>(), <Vec<&Value>>::new(), "{method}");
    }
}

/// Each table is followed by a hint, which is shown exactly where the table is wider than the screen.
fn assert_scrolling_is_visible(browser: &mut Browser, width: u32) {
    let tables = browser.evaluate(
        "[...document.querySelectorAll('.scrolls')].map(scrolls => [
            scrolls.scrollWidth > scrolls.clientWidth,
            scrolls.nextElementSibling.offsetHeight > 0,
            getComputedStyle(scrolls).backgroundImage.split('linear-gradient').length - 1,
        ])",
    );
    let tables = tables.as_array().unwrap();
    assert!(tables.len() >= 2, "{tables:?}");
    for table in tables {
        assert_eq!(table[0], width < 600, "a table is wider than {width} pixels: {tables:?}");
        assert_eq!((&table[1], &table[2]), (&table[0], &4.into()), "{tables:?}");
    }
}

/// On paper nothing scrolls, everything fits, and the colours are dark on white.
fn assert_printable(browser: &mut Browser) {
    browser.set_print();
    let page = browser.evaluate(
        "[
            getComputedStyle(document.body).backgroundColor,
            getComputedStyle(document.body).color,
            document.documentElement.scrollWidth - innerWidth,
            [...document.querySelectorAll('.scrolls')].filter(scrolls =>
                scrolls.scrollWidth > scrolls.clientWidth || getComputedStyle(scrolls).overflowX != 'visible').length,
            [...document.querySelectorAll('.scroll-hint')].filter(hint => hint.offsetHeight > 0).length,
        ]",
    );
    let expected = serde_json::json!(["rgb(255, 255, 255)", "rgb(0, 0, 0)", 0, 0, 0]);
    assert_eq!(page, expected, "background, text, overflow, scrolling tables, hints");
}

fn events_of<'a>(browser: &'a Browser, method: &'a str) -> impl Iterator<Item = &'a Value> {
    browser.events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
}

/// Parses a figure of the page: a number, or a time in microseconds.
fn parse_figure(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let unit = match unit {
        "" | "µs" => 1.0,
        "ms" => 1e3,
        other => {
            assert_eq!(other, "s", "{text}");
            1e6
        }
    };
    number.replace(',', "").parse::<f64>().unwrap() * unit
}

#[test]
fn page_embeds_json_and_loads_nothing() {
    let dir = TestDir::new();
    let page = dir.path("out.html");
    let report = run_bench(&page, "plain", "--clients 1,2 --rate 100");
    let text = fs::read_to_string(&page).unwrap();
    assert_eq!(embedded(&text), report);
    for word in ["http://", "https://", "<script src", "<link", "<img", "@import", "url("] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("default-src 'none'") && text.contains("open loop, 100 due per second"));
    assert!(text.contains("100 appends per second "), "the headline of an open loop is its rate");
    for text_of_run in
        [report["host"]["hostname"].as_str().unwrap(), "--clients 1,2 --rate 100</code>", " GMT</time>"]
    {
        assert!(text.contains(text_of_run), "{text_of_run}");
    }
    assert!(report["command"].as_str().unwrap().starts_with("ministore bench --json --duration 0.3s"));
    assert_eq!(dir.snapshot().len(), 1, "no temporary file is left next to the page");
}

#[test]
fn unwritable_page_fails_before_measuring() {
    let dir = TestDir::new();
    for path in [dir.path("no/such/out.html"), dir.root().to_owned()] {
        let output = ministore(["bench", "--duration", "3600s", "--report"]).arg(&path).run().code(73);
        assert!(output.error().contains(&*path.to_string_lossy()), "{}", output.stderr);
    }
    assert_eq!(dir.snapshot().len(), 0);
}
