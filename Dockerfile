# Two stages: the first compiles, the second holds Node, the compiled gateway and its runtime dependencies.
FROM node:26-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc tsconfig.json ./
RUN npm ci
COPY src ./src
RUN npx tsc -p tsconfig.json && npm prune --omit=dev

FROM node:26-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist/src ./dist/src
USER node
EXPOSE 8443
# Node is process 1 and takes SIGTERM and SIGHUP itself (src/serve.ts): no shell, no init.
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/dist/src/main.js"]
CMD ["serve", "/etc/holdfast/routes.yaml"]
