/**
 * A small web server for the stock Control UI bundle. Owns: serving its files under a base path as the stock gateway does, and
 * passing the WebSocket on to the gateway under test, so that the page and its socket have one origin. Refuses to know: what
 * is said on that socket.
 *
 * The bundle is served unmodified but for index.html, which gets the base path written in: relative assets made absolute and
 * `data-openclaw-control-ui-base-path` on `<html>`, else deep links load HTML in place of scripts.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { extname, join, normalize, sep } from "node:path";
import type { Target } from "../target.ts";

/** A running site. */
export type ControlUiSite = {
  /** The one origin of all base paths, no trailing slash. */
  origin: string;
  /** Paths of the socket upgrades that were passed on. */
  upgrades: string[];
  close(): Promise<void>;
};

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".webmanifest": "application/manifest+json",
};

/** Serves `bundleDir` at the root and under every `/t/<slug>`, and passes sockets on to the target's port. */
export async function serveControlUi(bundleDir: string, target: Target): Promise<ControlUiSite> {
  const upgrades: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((req, res) => {
    serveFile(bundleDir, req, res).catch(() => res.writeHead(404).end());
  });
  server.on("upgrade", (req: IncomingMessage, socket: Socket, head: Buffer) => {
    upgrades.push(req.url ?? "");
    passOn(req, socket, head, target, sockets);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    upgrades,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function serveFile(bundleDir: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const path = decodeURIComponent(new URL(req.url ?? "/", "http://site").pathname);
  const base = /^\/t\/[a-z0-9-]+/.exec(path)?.[0] ?? "";
  const inside = path.slice(base.length + 1);
  if (!inside || !extname(inside)) {
    res.writeHead(200, { "content-type": TYPES[".html"] }).end(await indexPage(bundleDir, base));
    return;
  }
  const file = normalize(join(bundleDir, inside));
  if (!file.startsWith(bundleDir + sep)) throw new Error("outside of the bundle");
  const bytes = await readFile(file);
  res.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(bytes);
}

async function indexPage(bundleDir: string, base: string): Promise<string> {
  const page = await readFile(join(bundleDir, "index.html"), "utf8");
  const attributes = `data-openclaw-control-ui-base-path="${base}" data-openclaw-terminal-enabled="false"`;
  return page.replaceAll('"./', `"${base}/`).replace("<html ", `<html ${attributes} `);
}

/** A reverse proxy that keeps Host and Origin, byte for byte after the request head. */
function passOn(
  req: IncomingMessage,
  socket: Socket,
  head: Buffer,
  target: Target,
  sockets: Set<Socket>,
): void {
  const to = new URL(target.wsUrl);
  const upstream = connect(Number(to.port), to.hostname, () => {
    const lines = [`${req.method} ${req.url} HTTP/1.1`];
    for (let n = 0; n < req.rawHeaders.length; n += 2)
      lines.push(`${req.rawHeaders[n]}: ${req.rawHeaders[n + 1]}`);
    upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
    upstream.write(head);
    socket.pipe(upstream).pipe(socket);
  });
  for (const [one, peer] of [
    [socket, upstream],
    [upstream, socket],
  ] as const) {
    sockets.add(one);
    one.on("error", () => peer.destroy());
    one.on("close", () => {
      sockets.delete(one);
      peer.destroy();
    });
  }
}
