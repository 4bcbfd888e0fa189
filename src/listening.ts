// A listener, and by what its requests are served: the configuration in force when each of them came, which counts it until it is over.

import { answer, type Question } from './decision-api/answer.js'
import { createGrpc } from './decision-api/grpc.js'
import { answerHttp } from './decision-api/http.js'
import { type Enforcement, enforce, refuseBroken } from './edge/enforce.js'
import { type Edge, openEdge } from './edge/server.js'
import { type Adapters, type Running, shareOf } from './running.js'

/** Opens the listener of this number. Rejects when its address can't be had. */
export function openListener(index: number, { options, requests: inWork }: Adapters, running: () => Running): Promise<Edge> {
  const { ticketSecret, leave } = options
  const { config } = running()
  const listener = config.listeners[index]
  if (listener === undefined) throw new RangeError(`there is no listener ${index}`)
  const current = (): [Enforcement, Running] => {
    const now = running()
    const enforcement = now.enforcements[index]
    if (enforcement === undefined) throw new RangeError(`there is no listener ${index}`)
    return [enforcement, now]
  }
  const track = (request: Promise<void>, { requests }: Running): void => {
    requests.add(request)
    inWork.add(request)
    void request.finally(() => {
      requests.delete(request)
      inWork.delete(request)
    })
  }
  const check = (question: Question): Promise<void> => {
    const [enforcement, now] = current()
    const answered = answer(question, enforcement, now.permitFor)
    track(answered, now)
    return answered
  }
  return openEdge({
    listener,
    listens: leave === undefined,
    ticketSecret,
    limits: shareOf(config.limits, config.workers),
    handle: (exchange) => {
      const [enforcement, now] = current()
      track(listener.decides ? answerHttp(exchange, enforcement, now.permitFor) : enforce(exchange, enforcement), now)
    },
    refuse: (broken) => refuseBroken(broken, current()[0]),
    ...(listener.decides ? { http2: createGrpc({ config: () => running().config, check }) } : {}),
  })
}
