// Metrics of all workers in one text. A worker that ends takes nothing away that it was asked for before: else a sum would fall, and
// whoever reads it would take that for a restart of all.

import { samplesFamily } from '../metrics/families.js'
import type { MetricsJson } from '../metrics/registry.js'
import { addEnded, sumMetrics } from '../metrics/sum.js'
import type { Peer } from './peer.js'

export type WorkerMetrics = {
  /** Asks them all; who does not answer is left out. */
  collect(peers: readonly Peer[]): Promise<string>
  /** Keeps what one that has ended last said. */
  ended(peer: Peer): Promise<void>
}

export function createWorkerMetrics(): WorkerMetrics {
  let ended: MetricsJson = []
  let ends = 0
  const lastOf = new Map<Peer, MetricsJson>()
  const ask = async (peer: Peer): Promise<MetricsJson> => {
    const metrics = (await peer.call('metrics')) as MetricsJson
    lastOf.set(peer, metrics)
    return metrics
  }
  return {
    async collect(peers) {
      const each = await Promise.allSettled(peers.map(ask))
      const own: MetricsJson = [samplesFamily('holdfast_worker_ends_total', [[{}, ends]])]
      return sumMetrics([own, ended, ...each.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))])
    },
    async ended(peer) {
      ends += 1
      const last = lastOf.get(peer)
      lastOf.delete(peer)
      if (last !== undefined) ended = await addEnded(ended, last)
    },
  }
}
