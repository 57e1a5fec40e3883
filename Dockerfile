FROM python:3.13-slim
RUN useradd --create-home --uid 10001 syntopy && mkdir /library && chown syntopy /library
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir -c constraints.txt '.[cpu]'
USER syntopy
ENV SYNTOPY_LIBRARY=/library/main
ENTRYPOINT ["syntopy"]
