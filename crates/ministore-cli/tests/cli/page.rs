//! `bench --report`: the page as a browser shows it, and as a file.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    browser::Browser,
    support::{Place, Run, ministore},
};

/// What `bench` tells and the page it writes, of a small sweep in a place that is named like that.
fn measured(page: &Path, directory: &str, args: &str) -> Value {
    let place = Place::new();
    let within = place.path(directory);
    fs::create_dir(&within).unwrap();
    let mut bench = ministore(["bench", "--json", "--duration", "0.3s", "--warm-up", "0s", "--dir"]);
    bench.arg(within).arg("--report").arg(page).args(args.split_whitespace()).run().ok().json()
}

/// The JSON inside of a page.
fn embedded(page: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"report\">";
    let from = page.find(start).unwrap() + start.len();
    let to = from + page[from..].find("</script>").unwrap();
    serde_json::from_str(&page[from..to]).unwrap()
}

#[test]
fn a_browser_shows_the_page_without_an_error_or_a_request_and_with_the_figures_of_the_json() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new();
    let page = place.path("out.html");
    let args =
        "--clients 1,4,16 --rounds 2 --backend auto,blocking --record-bytes 4096 --max-segment-bytes 64KiB";
    let told = measured(&page, "plain", args);
    browser.open(&page);

    for (width, scheme) in [(1280, "light"), (390, "dark")] {
        browser.show(width, scheme);
        let sizes = browser.value(
            "[...document.querySelectorAll('svg.chart')].map(svg => {
                const box = svg.getBoundingClientRect();
                return [box.width, box.height, svg.querySelectorAll('path, rect').length];
            })",
        );
        let sizes = sizes.as_array().unwrap();
        // Two over the sweep; two a group; two a point.
        assert_eq!(sizes.len(), 2 + 2 * 2 + 6 * 2, "{sizes:?}");
        for size in sizes {
            let [width, height, shapes] = [0, 1, 2].map(|n| size[n].as_f64().unwrap());
            assert!(width > 250.0 && height > 150.0 && shapes > 5.0, "{size}");
        }
        let over = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert!(over.as_f64().unwrap() <= 0.0, "{over} pixels too wide for {width}");
    }
    let background = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.value(background);
    browser.show(1280, "light");
    assert_ne!(browser.value(background), dark);

    let named = browser.value(
        "[...document.querySelectorAll('svg.chart')].map(svg => svg.getAttribute('role') + ' ' +
            svg.getAttribute('aria-labelledby').split(' ')
                .map(id => document.getElementById(id).textContent).join(': '))",
    );
    for name in named.as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(name.starts_with("img ") && name.len() > 30, "{name}");
    }
    let ids = browser.value("[...document.querySelectorAll('[id]')].map(e => e.id).sort()");
    let mut unique = ids.as_array().unwrap().clone();
    unique.dedup();
    assert_eq!(unique.len(), ids.as_array().unwrap().len(), "{ids}");

    let shown = browser
        .value("[...document.querySelectorAll('data')].map(d => [d.dataset.json, d.value, d.textContent])");
    let shown = shown.as_array().unwrap();
    assert!(shown.len() >= 6 * 6, "{} figures", shown.len());
    for figure in shown {
        let [pointer, value, text] = [0, 1, 2].map(|n| figure[n].as_str().unwrap());
        let exact = told.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
        // The last bit is lost where JSON is read.
        let value: f64 = value.parse().unwrap();
        assert!((value - exact).abs() <= exact * 1e-12, "{pointer}: {value} for {exact}");
        let read = read(text);
        // Three digits, or a whole number, or one decimal.
        assert!((read - exact).abs() <= (exact * 0.006).max(0.5), "{pointer}: {text} for {exact}");
    }

    let asked: Vec<_> = of(&browser, "Network.requestWillBeSent").collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["request"]["url"], format!("file://{}", page.display()));
    for method in ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"] {
        assert_eq!(of(&browser, method).collect::<Vec<_>>(), <Vec<&Value>>::new(), "{method}");
    }
}

fn of<'a>(browser: &'a Browser, method: &'a str) -> impl Iterator<Item = &'a Value> {
    browser.events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
}

/// A figure as people read it: a number, or microseconds.
fn read(text: &str) -> f64 {
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
    let place = Place::new();
    let page = place.path("out.html");
    let told = measured(&page, "plain", "--clients 1,2 --rate 100");
    let text = fs::read_to_string(&page).unwrap();
    assert_eq!(embedded(&text), told);
    for word in ["http://", "https://", "<script src", "<link", "<img", "@import", "url("] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("default-src 'none'") && text.contains("open loop, 100 due per second"));
    assert_eq!(place.snapshot().len(), 1, "and nothing is left beside it");
}

#[test]
fn unwritable_page_fails_before_measuring() {
    let place = Place::new();
    for path in [place.path("no/such/out.html"), place.dir.path().to_owned()] {
        let ran = ministore(["bench", "--duration", "3600s", "--report"]).arg(&path).run().code(73);
        assert!(ran.error().contains(&*path.to_string_lossy()), "{}", ran.err);
    }
    assert_eq!(place.snapshot().len(), 0);
}
