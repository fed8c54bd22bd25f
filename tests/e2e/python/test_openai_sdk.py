"""The real OpenAI SDK for Python through the gateway, with the session in `default_headers`."""

import asyncio
import time

import openai
import pytest
from conftest import headers_of
from openai import AsyncOpenAI, OpenAI
from programs import until

HELLO = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello, who are you?"}]}


def sdk(stack, cookie: str | None, kind=OpenAI, **options):
    headers = {**({"Cookie": cookie} if cookie else {}), **options.pop("headers", {})}
    return kind(base_url=stack.base_url, api_key="unused", default_headers=headers, **{"max_retries": 0, **options})


def test_a_plain_completion(stack, ada):
    answer = sdk(stack, ada).chat.completions.create(**HELLO)
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens > 0


def test_a_streamed_completion_with_its_usage(stack, ada):
    stream = sdk(stack, ada).chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert len(chunks) > 2
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].usage.total_tokens > 0


def test_models_and_embeddings(stack, ada):
    client = sdk(stack, ada)
    assert [model.id for model in client.models.list()]
    answer = client.embeddings.create(model="text-embedding-3-small", input="Hello", encoding_format="float")
    assert all(isinstance(number, float) for number in answer.data[0].embedding)


def test_behest_sees_the_user_of_the_session_and_nothing_that_the_client_claims(stack, ada):
    forged = {
        "Authorization": "Bearer forged",
        "X-Session-Id": "sess_of_grace",
        "X-Tier": "max",
        "X-End-User-Id": "usr_grace",
        "X-Thread-Id": "thread_py",
    }
    sdk(stack, ada, headers=forged).chat.completions.create(**HELLO)
    (call,) = stack.calls()
    headers = headers_of(call)
    assert call["claims"]["uid"] == "usr_ada" and call["claims"]["tier"] == "pro"
    assert headers["x-session-id"] == call["claims"]["sid"] != "sess_of_grace"
    assert headers["x-thread-id"] == "thread_py"
    assert headers["x-stainless-lang"] == "python"
    assert not {"cookie", "x-tier", "x-end-user-id"} & set(headers)


def test_a_changed_tier_counts_from_the_next_request_and_keeps_its_type(stack, cookie):
    for tier in ("free", 2):
        sdk(stack, cookie(sub="usr_mover", tier=tier)).models.list()
    first, second = stack.calls()
    assert first["claims"]["tier"] == "free"
    assert second["claims"]["tier"] == 2


def test_the_session_id_survives_a_renewed_cookie(stack, cookie):
    for _ in range(2):
        sdk(stack, cookie(sub="usr_ada", sid="sess_1")).models.list()
    sdk(stack, cookie(sub="usr_ada", sid="sess_2")).models.list()
    first, renewed, other = (headers_of(call)["x-session-id"] for call in stack.calls())
    assert first == renewed != other


def test_no_cookie_is_an_authentication_error_that_is_not_retried(stack):
    with pytest.raises(openai.AuthenticationError) as caught:
        sdk(stack, None, max_retries=2).chat.completions.create(**HELLO)
    assert caught.value.code == "session_missing"
    assert caught.value.response.headers["x-gateway-error"] == "session_missing"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert stack.calls() == []


def test_an_expired_session_says_so(stack, cookie):
    with pytest.raises(openai.AuthenticationError) as caught:
        sdk(stack, cookie(max_age=-60, sub="usr_ada")).models.list()
    assert caught.value.code == "session_expired"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, openai.BadRequestError, "validation_error"),
        (402, openai.APIStatusError, "quota_exceeded"),
        (403, openai.PermissionDeniedError, "forbidden"),
        (404, openai.NotFoundError, None),
        (422, openai.UnprocessableEntityError, "validation_error"),
        (429, openai.RateLimitError, "rate_limited"),
        (500, openai.InternalServerError, "server_error"),
        (503, openai.InternalServerError, "server_error"),
    ],
)
def test_behests_refusals_pass_through(stack, ada, status, error, code):
    headers = [["retry-after", "7"]] if status == 429 else []
    stack.fault({"kind": "status", "code": status, "headers": headers})
    with pytest.raises(error) as caught:
        sdk(stack, ada).chat.completions.create(**HELLO)
    assert caught.value.status_code == status
    assert code is None or caught.value.code == code
    assert "x-gateway-error" not in caught.value.response.headers
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "7"
    assert len(stack.calls()) == 1


def test_a_stream_that_is_left_is_closed_upstream(stack, ada):
    stream = sdk(stack, ada).chat.completions.create(**HELLO, stream=True)
    for _, _chunk in zip(range(3), stream):
        pass
    left = time.monotonic()
    stream.close()
    until("Behest sees the caller leave", lambda: stack.disconnects() == 1, 2)
    assert time.monotonic() - left < 1, "a second is generous; 200 ms are measured on the wire elsewhere"


def test_a_stream_that_breaks_is_an_error_and_not_an_end(stack, ada):
    stack.fault({"kind": "cut_after", "frames": 2})
    with pytest.raises(Exception) as caught:
        list(sdk(stack, ada).chat.completions.create(**HELLO, stream=True))
    assert not isinstance(caught.value, AssertionError)
    assert sdk(stack, ada).chat.completions.create(**HELLO).id


def test_async_plain_streamed_and_many_at_once(stack, ada):
    async def run():
        async with sdk(stack, ada, AsyncOpenAI) as client:
            plain = await client.chat.completions.create(**HELLO)
            assert plain.choices[0].message.content
            stream = await client.chat.completions.create(**HELLO, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            assert text
            answers = await asyncio.gather(*(client.models.list() for _ in range(10)))
            assert len(answers) == 10

    asyncio.run(run())
    assert {call["claims"]["uid"] for call in stack.calls()} == {"usr_ada"}


def test_async_cancellation_reaches_behest(stack, ada):
    async def run():
        async with sdk(stack, ada, AsyncOpenAI) as client:
            seen = asyncio.Event()

            async def read():
                async for _ in await client.chat.completions.create(**HELLO, stream=True):
                    seen.set()

            task = asyncio.create_task(read())
            await asyncio.wait_for(seen.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    until("Behest sees the caller leave", lambda: stack.disconnects() == 1, 2)


def test_async_errors_are_the_same_typed_errors(stack):
    async def run():
        async with sdk(stack, None, AsyncOpenAI) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(**HELLO)
            assert caught.value.code == "session_missing"

    asyncio.run(run())
