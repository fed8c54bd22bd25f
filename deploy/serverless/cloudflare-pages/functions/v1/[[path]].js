// Cloudflare Pages: everything under /v1 goes to the gateway, as it is, and comes back as it streams.
// GATEWAY_ORIGIN is a variable of the Pages project, such as https://gateway.app.example.
export function onRequest({ request, env }) {
  const { pathname, search } = new URL(request.url);
  return fetch(new Request(new URL(pathname + search, env.GATEWAY_ORIGIN), request));
}
