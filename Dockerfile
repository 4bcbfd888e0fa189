# The first stage compiles, and gathers what node needs of its system; the second holds that and the gateway, and nothing else: no shell, no
# npm, no package manager (docs/deployment.md). Give NODE_IMAGE with the digest that you have checked: `node:26-bookworm-slim@sha256:...`.
ARG NODE_IMAGE=node:26-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc tsconfig.json ./
# Packages get no say in the build: none that is needed here has anything to run.
RUN npm ci --ignore-scripts
COPY src ./src
RUN npx tsc -p tsconfig.json && npm prune --omit=dev --ignore-scripts
COPY deploy/image/root.sh ./
RUN sh root.sh /root-fs

FROM scratch
COPY --from=build /root-fs /
WORKDIR /app
ENV PATH=/usr/local/bin NODE_ENV=production
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist/src ./dist/src
# A number, because Kubernetes can't tell of a name whether it is root's (`runAsNonRoot`). All files are root's: it can't change them.
USER 65532:65532
EXPOSE 8443
# Node is process 1 and takes SIGTERM and SIGHUP itself (src/serve.ts), and waits for its workers: no init. No HEALTHCHECK, because
# routes.yaml says where the admin listener is.
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/dist/src/main.js"]
CMD ["serve", "/etc/holdfast/routes.yaml"]
