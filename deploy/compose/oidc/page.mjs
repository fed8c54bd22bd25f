// The page on which an account is chosen: plain HTML, no script.

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { display: grid; place-items: center; min-height: 100dvh; margin: 0; background: light-dark(#eef0f5, #101218); color: light-dark(#171a22, #e8eaf0); }
  form { display: grid; gap: 10px; width: min(360px, calc(100vw - 32px)); box-sizing: border-box; padding: 28px; border-radius: 18px; background: light-dark(#fff, #1a1d26); box-shadow: 0 10px 30px rgb(0 0 0 / 12%); }
  h1 { margin: 0; font-size: 21px; letter-spacing: -0.02em; }
  p { margin: 0 0 6px; color: light-dark(#5c6270, #9aa1b1); font-size: 14.5px; }
  button { display: grid; padding: 10px 14px; border: 1px solid light-dark(#dadde6, #333845); border-radius: 12px; background: none; color: inherit; font: inherit; font-weight: 600; text-align: left; cursor: pointer; }
  button:hover { border-color: #5b6cf0; }
  small { color: light-dark(#5c6270, #9aa1b1); font-weight: 400; }
`;

/** A form that asks for the same address again, with the chosen account in its query. */
export function chooserPage(accounts) {
  const buttons = accounts.map(
    ({ sub, name, email }) => `<button name="account" value="${sub}">${name}<small>${email}</small></button>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Example ID</title>
<style>${STYLE}</style>
<form method="get">
  <h1>Example ID</h1>
  <p>Who are you? This is a demonstration: nobody asks for a password here.</p>
  ${buttons.join("\n  ")}
</form>
</html>
`;
}
