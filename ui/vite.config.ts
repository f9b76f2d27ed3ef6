/** Builds the Control UI into ui/dist. Owns: bundling. Refuses to know: where or under which tenant it is served. */
import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));
/** Where `vite dev` finds a running server; only the development server reads it. */
const devServerUrl = process.env.CREEL_DEV_URL ?? "http://127.0.0.1:18789";

export default defineConfig({
  root: here,
  base: "/",
  plugins: [react(), tailwindcss()],
  build: {
    outDir: `${here}dist`,
    emptyOutDir: true,
    assetsDir: "assets",
    // SECURITY: the polyfill is an inline-like bootstrap we do not need; every supported browser has modulepreload.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    target: ["chrome123", "edge123", "firefox128", "safari17.5"],
    cssTarget: ["chrome123", "edge123", "firefox128", "safari17.5"],
  },
  server: {
    proxy: {
      "/auth": devServerUrl,
      "^/t/[^/]+/(api|auth)/": devServerUrl,
      "^/t/[^/]+$": { target: devServerUrl, ws: true },
    },
  },
});
