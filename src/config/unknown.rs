//! Looks at what is left when every key was read: keys that nobody knows, and secrets out of place.

use super::fields::{Fields, last_segment};
use super::problem::nearest;
use crate::secret::Secret;

impl Fields {
    /// A secret that was also given for another key would be shown there: that is refused.
    pub(super) fn refuse_shown_secrets(&mut self) {
        let mut problems = Vec::new();
        for setting in &mut self.settings {
            let shown = setting.shown.as_bytes();
            let mut secrets = self
                .kept
                .iter()
                .map(Secret::expose)
                .filter(|s| s.len() >= 8);
            if secrets.any(|secret| shown.windows(secret.len()).any(|part| part == secret)) {
                "(hidden)".clone_into(&mut setting.shown);
                problems.push(format!("{} ({})", setting.key, setting.origin));
            }
        }
        for key in problems {
            self.problem(key, "holds a secret that was given for another key");
        }
        self.hide_named_secrets();
    }

    /// Keys that nobody knows are named, and a secret may stand where a key should.
    fn hide_named_secrets(&mut self) {
        let secrets: Vec<&str> = (self.kept.iter().map(Secret::expose))
            .filter(|secret| secret.len() >= 8)
            .filter_map(|secret| std::str::from_utf8(secret).ok())
            .collect();
        for problem in &mut self.problems {
            if secrets.iter().any(|secret| problem.key.contains(secret)) {
                "(hidden: it holds a secret)".clone_into(&mut problem.key);
            }
        }
    }

    /// Reports everything in the sources that no key asked for. With `sections`, only those of the
    /// file are looked at.
    pub(super) fn refuse_unknown(&mut self, sections: Option<&[&str]>) {
        let (cli, file) = self.layers.leftovers();
        if sections.is_none() {
            for key in cli {
                self.refuse_on_command_line(key);
            }
            self.warn_of_unknown_variables();
        }
        for (name, value) in &file {
            if sections.is_none_or(|sections| sections.contains(&name.as_str())) {
                self.refuse_leftover(name, value);
            }
        }
    }

    /// A key that the command line cannot set: a secret or a table, or no key at all.
    fn refuse_on_command_line(&mut self, key: String) {
        let Some(setting) = self.settings.iter().find(|setting| setting.key == key) else {
            return self.unknown_key(key);
        };
        let instead = match setting.variables.first() {
            Some(name) => format!("set {name} or {name}_FILE, or write it into the file"),
            None => "write it into the file".to_owned(),
        };
        let text = format!(
            "cannot be set on the command line, which other users of the machine can read: {instead}"
        );
        self.problem(key, text);
    }

    fn refuse_leftover(&mut self, path: &str, value: &toml::Value) {
        let below = format!("{path}.");
        let is_section = self.settings.iter().any(|s| s.key.starts_with(&below));
        match value.as_table() {
            Some(table) if is_section => {
                for (name, value) in table {
                    self.refuse_leftover(&format!("{below}{name}"), value);
                }
            }
            None if is_section => self.problem(path, format!("must be a table: [{path}]")),
            Some(_) | None => self.unknown_key(path.to_owned()),
        }
    }

    pub(super) fn unknown_key(&mut self, path: String) {
        let last = last_segment(&path);
        let known: Vec<String> = self.settings.iter().map(|s| s.key.clone()).collect();
        let meant = nearest(&path, known.iter().map(String::as_str));
        let elsewhere = || known.iter().find(|key| last_segment(key) == last);
        let text = match meant.or_else(|| elsewhere().map(String::as_str)) {
            Some(meant) => format!("is no key. Did you mean {meant}?"),
            None => "is no key. config/reference.toml lists them all.".to_owned(),
        };
        self.problem(path, text);
    }

    fn warn_of_unknown_variables(&mut self) {
        let unknown = self.layers.unknown_variables();
        let warnings: Vec<String> = unknown
            .into_iter()
            .map(|name| match nearest(name, self.layers.asked_variables()) {
                Some(meant) => {
                    format!("{name} is no setting and is ignored; did you mean {meant}?")
                }
                None => format!("{name} is no setting and is ignored"),
            })
            .collect();
        self.warnings.extend(warnings);
    }
}
