import type { NextConfig } from "next";

// Where browsers find the app: the gateway's origin, not the app's own port.
const publicHost = process.env.AUTH_URL ? new URL(process.env.AUTH_URL).hostname : "localhost";

const config: NextConfig = {
  output: "standalone", // what the image runs: a server and only the modules that it needs
  outputFileTracingRoot: import.meta.dirname,
  turbopack: { root: import.meta.dirname },
  // `next dev` answers pages of its own host only, unless told which others are the app's.
  allowedDevOrigins: [publicHost],
  poweredByHeader: false,
  devIndicators: false,
};

export default config;
