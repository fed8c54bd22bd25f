//! Writes `config/reference.toml`: every key, its default and what it means, from the keys themselves.

use std::fmt::Write;

use super::fields::Setting;
use crate::admission::routes::DEFAULT_ROUTES;

/// The reference for `settings`, which are those of a configuration that sets nothing.
pub(super) fn reference(settings: &[Setting]) -> String {
    let mut text = String::from(
        "# Every key of behest-gateway with its default. A key without a default is shown as\n\
         # an example behind a `#`; in brackets are the environment variables that set it.\n\
         # The environment comes before this file, the command line before both. Secrets are\n\
         # references: { env = \"NAME\" } or { file = \"/path\" }.\n",
    );
    let mut section = String::new();
    // The list itself has no line: its tables have.
    for setting in settings.iter().filter(|setting| !setting.doc.is_empty()) {
        let (table, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if table != section {
            table.clone_into(&mut section);
            write_header(&mut text, table);
        }
        write_setting(&mut text, table, name, setting);
    }
    text
}

fn write_header(text: &mut String, table: &str) {
    // Writing to a String cannot fail.
    let _ = match table.strip_suffix("[]") {
        Some(list) => writeln!(
            text,
            "\n# One for each format; default: both, with session.secrets.\n#[[{list}]]"
        ),
        None => writeln!(text, "\n[{table}]"),
    };
    if table == "routes" {
        text.push_str("# Always offered (a GET also answers HEAD):\n");
        for route in DEFAULT_ROUTES {
            let _ = writeln!(text, "#   {route}");
        }
    }
}

fn write_setting(text: &mut String, table: &str, name: &str, setting: &Setting) {
    let variables = match setting.variables.join(", ") {
        none if none.is_empty() => none,
        names => format!(" ({names})"),
    };
    let _ = writeln!(text, "# {}{variables}", setting.doc);
    let _ = match &setting.default {
        Some(default) if !table.ends_with("[]") => writeln!(text, "{name} = {default}"),
        Some(_) | None => writeln!(text, "#{name} = {}", setting.example),
    };
}
