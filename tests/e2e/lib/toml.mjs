// Writes values as TOML, for configuration files that a test makes.

/** A string as TOML's basic string: JSON's, but for DEL, which TOML wants escaped too. */
const text = (value) => JSON.stringify(value).replaceAll('\x7f', '\\u007F');

const bare = (key) => (/^[\w-]+$/.test(key) ? key : text(key));

/** A value as it stands behind `=`; tables inline, members that are undefined left out. */
export function value(of) {
  if (typeof of === 'string') return text(of);
  if (Array.isArray(of)) return `[${of.map(value).join(', ')}]`;
  if (typeof of !== 'object') return String(of);
  return `{ ${members(of).map(([key, member]) => `${bare(key)} = ${value(member)}`).join(', ')} }`;
}

const members = (table) => Object.entries(table).filter(([, member]) => member !== undefined);

/** A configuration file with these providers, in this order. */
export function withProviders(providers) {
  const blocks = providers.map((provider) => {
    const lines = members(provider).map(([key, member]) => `${bare(key)} = ${value(member)}`);
    return `[[session.providers]]\n${lines.join('\n')}\n`;
  });
  return blocks.join('\n');
}
