//! The pages of `config/providers`: each loads as it stands, and each format has one.

use super::*;
use crate::session::ProviderKind;

/// Shows several formats, and is named after none.
const SEVERAL: &str = "several";

/// Name (without `.toml`) and text of every page.
fn pages() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(repository_file("providers")).unwrap();
    let mut pages: Vec<_> = folder
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert_eq!(path.extension().unwrap(), "toml");
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

/// Loads a page with Behest's variables and those that the page's own references name.
fn load_page(text: &str) -> Result<Loaded, ConfigProblems> {
    let settings = text.lines().filter(|line| !line.starts_with('#'));
    let named: Vec<_> = settings
        .flat_map(|line| line.split("env = \"").skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let secrets: Vec<_> = named
        .iter()
        .map(|name| format!("{name}-{SECRET}"))
        .collect();
    let more = named
        .iter()
        .copied()
        .zip(secrets.iter().map(String::as_str));
    let front = ("GATEWAY_PUBLIC_ORIGIN", "http://localhost:8080");
    let more: Vec<_> = [("AUTH_SECRET", ""), front]
        .into_iter()
        .chain(more)
        .collect();
    load_file(text, &more)
}

#[test]
fn every_page_loads_with_the_variables_that_it_names_and_gives_no_warning() {
    let mut wrong = Vec::new();
    for (name, text) in pages() {
        match load_page(&text) {
            Ok(loaded) => {
                wrong.extend(loaded.warnings.iter().map(|text| format!("{name}: {text}")));
                let first = loaded.config.session.providers[0].kind.label();
                assert!(first == name || name == SEVERAL, "{name} is about {first}");
            }
            Err(problems) => wrong.push(format!("{name}: {problems}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_format_has_a_page() {
    let names: Vec<_> = pages().into_iter().map(|(name, _)| name).collect();
    for kind in ProviderKind::ALL {
        assert!(names.iter().any(|name| name == kind.label()), "{kind:?}");
    }
}

#[test]
fn every_page_says_what_it_is_for_how_it_is_recognised_and_what_to_mind() {
    for (name, text) in pages() {
        let comments: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
        assert!(comments.contains(&"# Traps"), "{name}");
        assert!(
            name == SEVERAL || text.contains("\n# Recognised by "),
            "{name}"
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 110),
            "{name}"
        );
    }
}

#[test]
fn the_readme_links_every_page() {
    let readme = std::fs::read_to_string(repository_file("../README.md")).unwrap();
    for (name, _) in pages() {
        assert!(
            readme.contains(&format!("(config/providers/{name}.toml)")),
            "{name}"
        );
    }
}
