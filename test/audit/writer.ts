// A process that writes durable lines until it is killed, and prints the number of each that it was told is on disk.
import { writeSync } from 'node:fs'
import { openAuditLog } from '../../src/audit/log.js'
import { SIGNED } from '../support/audit.js'

const [file = ''] = process.argv.slice(2)
const log = await openAuditLog({ ...SIGNED, file, refusalsPerSecond: 100, instance: 'child', worker: 0, log: () => {} })
let next = 0

async function write(): Promise<void> {
  for (;;) {
    const id = `r${next++}`
    if (await log.writeDurable({ event_type: 'authorization_decision', request_id: id, path: 'x'.repeat(500) })) tell(`${id}\n`)
  }
}

await Promise.all(Array.from({ length: 16 }, write))

/** At once, so that a kill loses nothing that was told; a parent that reads slowly is waited for. */
function tell(text: string): void {
  for (;;) {
    try {
      writeSync(1, text)
      return
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
    }
  }
}
