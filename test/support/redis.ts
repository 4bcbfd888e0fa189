// TEMPORARY
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
export type RunningRedis = { url: string; port: number; stop(): Promise<void> }
export async function startRedis(): Promise<RunningRedis> {
  const port = await new Promise<number>((resolve) => { const s = createServer().listen(0, () => { const { port } = s.address() as { port: number }; s.close(() => resolve(port)) }) })
  const child = spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no'], { stdio: 'ignore' })
  await new Promise((resolve) => setTimeout(resolve, 400))
  return { url: `redis://127.0.0.1:${port}`, port, stop: async () => void child.kill() }
}
